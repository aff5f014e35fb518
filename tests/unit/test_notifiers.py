"""Notices reach everybody who can be reached; nobody who cannot holds anything up."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from registry_hooks.notifiers import Announcer, Notice, build_notifiers
from registry_hooks.notifiers.announcer import QUEUE
from stagedoor.errors import ConfigurationError
from stagedoor.settings import Settings

NOTICE = Notice("fraud", "8", "rolled_back", "12 of 60 requests failed.", 1_700_000_000.0, "alice")


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_every_notifier_is_told_in_order() -> None:
    told: list[str] = []
    announce = Announcer([("one", lambda notice: told.append(notice.title))])
    announce(NOTICE)
    announce(Notice("fraud", "9", "promoted", "", 0, "bob"))
    announce.close()
    assert told == ["fraud: version 8 rolled back", "fraud: version 9 promoted"]


def test_one_that_fails_or_hangs_neither_delays_nor_silences_the_others() -> None:
    told: list[Notice] = []
    release = threading.Event()

    def fail(notice: Notice) -> None:
        raise RuntimeError("https://hook/with/a/secret")

    announce = Announcer([("fails", fail), ("hangs", lambda notice: release.wait(60) and None), ("works", told.append)], 0.05)
    start = time.monotonic()
    for _ in range(QUEUE):
        announce(NOTICE)
    assert time.monotonic() - start < 1
    assert wait_until(lambda: len(told) == QUEUE)
    for _ in range(QUEUE):  # the queue of the one that hangs is full by now
        announce(NOTICE)
    assert wait_until(lambda: len(told) == 2 * QUEUE)
    release.set()
    announce.close()


def test_an_ending_controller_does_not_wait_for_one_that_hangs() -> None:
    release = threading.Event()
    announce = Announcer([("hangs", lambda notice: release.wait(60) and None)])
    announce(NOTICE)
    start = time.monotonic()
    announce.close(0.1)
    assert time.monotonic() - start < 2
    release.set()


def test_the_log_is_always_told(capsys: pytest.CaptureFixture[str]) -> None:
    announce = build_notifiers(Settings())
    assert announce.names == ("log",)
    announce(NOTICE)
    announce.close()
    assert "12 of 60 requests failed." in "".join(capsys.readouterr())


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address that takes JSON, and what it got."""
    got: list[dict[str, str]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_address[1]}/", got
        server.shutdown()


def test_apprise_delivers_a_notice(hook: tuple[str, list[dict[str, str]]]) -> None:
    url, got = hook
    announce = build_notifiers(Settings(notify_urls=(SecretStr(url),)))
    assert announce.names == ("log", "apprise")
    announce(NOTICE)
    announce.close(20)
    assert got[0]["title"] == "fraud: version 8 rolled back"
    assert got[0]["message"] == "12 of 60 requests failed.\n(asked for by alice)"
    assert got[0]["type"] == "failure"


def test_an_address_that_apprise_does_not_know_is_told_by_its_place_alone() -> None:
    urls = (SecretStr("json://127.0.0.1:9/"), SecretStr("nonsense-secret"))
    with pytest.raises(ConfigurationError, match="address 2") as caught:
        build_notifiers(Settings(notify_urls=urls))
    assert "secret" not in str(caught.value)


def test_teams_add_notifiers_by_entry_point_and_a_broken_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "team_notes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: team-notes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stagedoor.notifiers]\npager = team_notes:Pager\nbroken = team_notes:Nothing\n")
    (tmp_path / "team_notes.py").write_text(
        "import pathlib\nclass Pager:\n    def __call__(self, notice):\n"
        f"        pathlib.Path({str(tmp_path / 'told')!r}).write_text(notice.title)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    announce = build_notifiers(Settings())
    announce(NOTICE)
    announce.close()
    assert announce.names == ("log", "pager")
    assert (tmp_path / "told").read_text() == "fraud: version 8 rolled back"
    assert "broken" in "".join(capsys.readouterr())
