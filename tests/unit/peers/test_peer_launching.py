"""A neighbour is started in its environment, and nothing of it is left afterwards."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers.environment
import pytest
import requests
from peers.contract import MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import Launch, Neighbour

SERVER = """
import http.server, json, os, subprocess, sys
port, folder, answers = int(sys.argv[1]), sys.argv[2], sys.argv[3]
far = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
open(os.path.join(folder, "told.json"), "w").write(json.dumps({"far": far.pid, "env": dict(os.environ)}))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200); self.end_headers(); self.wfile.write(answers.encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
RIGHT = "[0.5]"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment whose interpreter is this one."""
    monkeypatch.setattr(peers.environment, "ENVIRONMENTS", tmp_path / "environments")
    made = Environment("neighbour", "some-package", ("some-package==1",))
    made.python.parent.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    made.packages.mkdir(parents=True)
    return made


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    return Workload(MLP, tmp_path / "model.onnx", tmp_path, np.zeros((1, 2), np.float32), (0.5,))


def serving(environment: Environment, source: str, *more: str) -> Neighbour:
    def plan(workload: Workload, folder: Path, port: int) -> Launch:
        command = [str(environment.python), "-c", source, str(port), str(folder), *more]
        return Launch(command, f"http://127.0.0.1:{port}/", workload.mlflow_body(), {"OF_ITS_OWN": "yes"})

    return Neighbour(environment, frozenset({MLP}), plan)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_every_process_of_a_neighbour_ends_with_it_whatever_its_session(
    environment: Environment, workload: Workload, tmp_path: Path
) -> None:
    with serving(environment, SERVER, RIGHT).start(workload, tmp_path) as running:
        far = json.loads((tmp_path / "neighbour-mlp" / "told.json").read_text())["far"]
        assert requests.post(running.url, data=running.body, timeout=5).text == RIGHT
        assert not gone(running.pid)
        assert not gone(far)
    assert gone(running.pid)
    assert gone(far)


def test_it_inherits_nothing(
    environment: Environment, workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/of/ours")
    with serving(environment, SERVER, RIGHT).start(workload, tmp_path):
        env = json.loads((tmp_path / "neighbour-mlp" / "told.json").read_text())["env"]
    assert "LD_LIBRARY_PATH" not in env
    assert (env["OF_ITS_OWN"], env["PEER_WORKLOAD"]) == ("yes", MLP)
    assert env["PATH"].split(os.pathsep)[0] == str(environment.python.parent)


def test_one_that_ends_while_it_starts_is_told_with_its_last_words(
    environment: Environment, workload: Workload, tmp_path: Path
) -> None:
    neighbour = serving(environment, "import sys; sys.exit('no licence')")
    with pytest.raises(RuntimeError, match="no licence"), neighbour.start(workload, tmp_path):
        pass


def test_one_that_answers_wrongly_is_not_measured(
    environment: Environment, workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peers.launching.START_SECONDS", 1.0)
    neighbour = serving(environment, SERVER, "[0.6]")
    with pytest.raises(TimeoutError, match=r"last answer was 200: \[0.6\]"), neighbour.start(workload, tmp_path):
        pass


def a_distribution(environment: Environment) -> None:
    (environment.packages / "some_package-1.2.3.dist-info").mkdir()


@pytest.mark.parametrize(("make", "version"), [(a_distribution, "1.2.3"), (lambda _: None, "?")])
def test_the_version_is_read_from_its_environment(
    environment: Environment, make: Callable[[Environment], None], version: str
) -> None:
    make(environment)
    assert environment.version() == version


def test_an_environment_counts_only_with_the_requirements_of_today(environment: Environment) -> None:
    assert "not installed" in str(environment.missing())
    (environment.folder / "ready").write_text("some-package==0\nFalse")
    assert "other requirements" in str(environment.missing())
    (environment.folder / "ready").write_text("some-package==1\nFalse")
    assert environment.missing() is None
    environment.packages.rename(environment.packages.with_name("of-another-python"))
    assert "not installed" in str(environment.missing())


def test_pins_are_the_projects_own() -> None:
    assert pinned("onnxruntime").startswith("onnxruntime==")
    assert pinned("of-nobody") == "of-nobody"
