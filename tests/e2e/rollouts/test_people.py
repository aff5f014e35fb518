"""What people do to a rollout, by the command line and by REST."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from . import models
from .system import CANARY, System, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENDLESS = "canary steps=10,50 interval=1h outcomes=100000"
"""Waits until somebody ends it, unless it is seen to harm."""
NAMES = ("paused", "aborted", "overruled", "two-persons", "asked")


@pytest.fixture(scope="module", autouse=True)
def _live(system: System) -> None:
    """Version 1 is live, version 2 is as good."""
    system.with_live(*NAMES, files=models.GOOD)
    for name in NAMES:
        system.register(name, models.GOOD)


def test_a_paused_rollout_stays_where_it_is_until_resumed(system: System) -> None:
    with system.traffic("paused") as traffic:
        assert system.order("paused", "promote", version="2", strategy=CANARY)["target"] == "2"
        done = system.stagedoor("pause", "paused")
        assert done.returncode == 0, done.stderr
        until(lambda: "resume" in str(system.account("paused").get("waiting_for")), lambda: str(system.account("paused")))
        before = system.account("paused")
        time.sleep(3)
        after = system.account("paused")
        assert (after["phase"], after["epoch"], after["stable"]) == ("paused", before["epoch"], "1")
        done = system.stagedoor("resume", "paused", "--json")
        assert json.loads(done.stdout)["model"] == "paused"
        system.ends("paused", "2", "promoted")
    assert traffic.statuses == {200}


def test_an_aborted_rollout_leaves_what_was_live(system: System) -> None:
    system.order("aborted", "promote", version="2", strategy=ENDLESS, who="bob")
    system.reaches("aborted", "canary")
    done = system.stagedoor("abort", "aborted", who="carol")
    assert done.returncode == 0, done.stderr
    last = system.ends("aborted", "2", "aborted")
    assert "carol" in last["reason"]
    system.goes_live("aborted", "1")
    assert system.champion("aborted") == "1"
    (entry,) = [entry for entry in system.history("aborted")["entries"] if entry["kind"] == "aborted"]
    assert entry["who"] == "carol"


def test_a_rollout_is_finished_now_and_taken_back_again(system: System) -> None:
    system.order("overruled", "promote", version="2", strategy=ENDLESS)
    system.reaches("overruled", "canary")
    during = time.time()
    done = system.stagedoor("promote", "overruled", "--now", "--wait", "--timeout", "60", who="dave")
    assert done.returncode == 0, done.stderr
    system.goes_live("overruled", "2")
    after = time.time()
    done = system.stagedoor("rollback", "overruled", "--to", "1", "--wait", "--timeout", "60", who="dave")
    assert done.returncode == 0, done.stderr
    system.goes_live("overruled", "1")
    for moment, version in ((during, "1"), (after, "2"), (time.time(), "1")):
        told = system.stagedoor("history", "overruled", "--at", str(moment), "--json")
        assert json.loads(told.stdout)["live"]["version"] == version
    shown = system.stagedoor("history", "overruled")
    assert "dave" in shown.stdout
    assert "returned" in shown.stdout


def test_where_two_persons_are_asked_for_one_is_not_enough(system: System) -> None:
    system.tag("two-persons", "stagedoor.approval", "required")
    system.order("two-persons", "promote", version="2", strategy="immediate", who="alice")
    until(lambda: "second person" in str(system.account("two-persons").get("waiting_for")), "it waits for a second person")
    own = system.stagedoor("approve", "two-persons", "2", who="alice")
    assert own.returncode == 1
    assert system.predict("two-persons").version == "1"
    second = system.stagedoor("approve", "two-persons", "2", who="bob")
    assert second.returncode == 0, second.stderr
    system.goes_live("two-persons", "2")
    tags = system.tags("two-persons", "2")
    assert tags["stagedoor.approved"] == "bob"
    assert tags["stagedoor.gate.approval"].startswith("pass: ")


def test_why_a_request_was_answered_so_can_be_asked_afterwards(system: System) -> None:
    system.order("asked", "promote", version="2", strategy=ENDLESS)
    system.reaches("asked", "canary")
    with system.traffic("asked") as traffic:
        until(lambda: any(answer.arm == "candidate" for answer in traffic.answers), "the candidate gets a request")
    for arm, version in (("champion", "1"), ("candidate", "2")):
        answer = next(answer for answer in traffic.answers if answer.arm == arm)
        told = system.stagedoor("why", answer.request_id, "--json")
        assert told.returncode == 0, told.stderr
        found = json.loads(told.stdout)
        assert found["request"]["subject"] == "app"
        assert found["route"]["epoch"] == answer.epoch
        assert f"which is {arm}'s. Version {version} answered." in found["explanation"]
        assert bytes.fromhex(found["route"]["salt"])
    assert system.stagedoor("abort", "asked").returncode == 0
    system.goes_live("asked", "1")


def test_a_row_changed_in_the_ledgers_file_is_named(system: System) -> None:
    assert system.stagedoor("ledger", "verify").returncode == 0
    with _changed(system.paths.ledger, 3):
        found = system.stagedoor("ledger", "verify")
        assert found.returncode == 1
        assert "at row 3" in found.stderr
    assert system.stagedoor("ledger", "verify").returncode == 0


@contextmanager
def _changed(file: Path, seq: int) -> Iterator[None]:
    """Another reason in one row, as somebody with the file in hand would write it; put right again at the end."""
    with closing(sqlite3.connect(file, timeout=20)) as database:
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        (reason,) = database.execute("SELECT reason FROM stagedoor_ledger WHERE seq = ?", (seq,)).fetchone()

        def write(text: str) -> None:
            with database:
                database.execute("BEGIN IMMEDIATE")
                for name, _ in triggers:
                    database.execute(f'DROP TRIGGER "{name}"')
                assert database.execute("UPDATE stagedoor_ledger SET reason = ? WHERE seq = ?", (text, seq)).rowcount == 1
                for _, sql in triggers:
                    database.execute(sql)

        write("nothing of note")
        try:
            yield
        finally:
            write(reason)
