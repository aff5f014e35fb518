"""The demo's third act as a newcomer sees it: `stagedoor up --demo` in one terminal, `stagedoor demo` in another."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from stagedoor.demo.catalog import BREAST_CANCER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMMAND = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')")
START_SECONDS = 600
Json = dict[str, Any]


def _stagedoor(state: Path, *arguments: str, seconds: float = 400) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (*COMMAND, *arguments, "--state", str(state)), capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a running `stagedoor up --demo`."""
    folder = tmp_path_factory.mktemp("act")
    ports = ("--gateway-port", "0", "--mlflow-port", "0", "--controller-port", "0")
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(
            (*COMMAND, "up", "--demo", "--state", str(folder), *ports), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + START_SECONDS
        while "Ctrl-C ends everything" not in (folder / "up.log").read_text():
            assert up.poll() is None, (folder / "up.log").read_text()
            assert time.monotonic() < end, (folder / "up.log").read_text()
            time.sleep(0.2)
        yield folder
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(60)
        except subprocess.TimeoutExpired:
            up.kill()


class Mlflow:
    """What MLflow shows to the promoter."""

    def __init__(self, state: Path) -> None:
        endpoints = json.loads((state / "endpoints.json").read_text())
        self._root = f"{endpoints['mlflow']}/api/2.0/mlflow"
        self._headers = {"Authorization": f"Bearer {endpoints['tokens']['promoter']}"}

    def champion(self) -> str:
        model = self._get("registered-models/get", name=BREAST_CANCER)["registered_model"]
        return next(str(one["version"]) for one in model["aliases"] if one["alias"] == "champion")

    def tags(self, version: str) -> dict[str, str]:
        found = self._get("model-versions/get", name=BREAST_CANCER, version=version)["model_version"]
        return {tag["key"]: tag["value"] for tag in found["tags"]}

    def strategy(self) -> str:
        model = self._get("registered-models/get", name=BREAST_CANCER)["registered_model"]
        return next(tag["value"] for tag in model["tags"] if tag["key"] == "stagedoor.rollout")

    def set_strategy(self, text: str) -> None:
        tag = {"name": BREAST_CANCER, "key": "stagedoor.rollout", "value": text}
        answer = requests.post(f"{self._root}/registered-models/set-tag", json=tag, headers=self._headers, timeout=30)
        assert answer.status_code == 200, answer.text

    def drop_strategy(self) -> None:
        tag = {"name": BREAST_CANCER, "key": "stagedoor.rollout"}
        answer = requests.delete(f"{self._root}/registered-models/delete-tag", json=tag, headers=self._headers, timeout=30)
        assert answer.status_code == 200, answer.text

    def _get(self, path: str, **query: str) -> Json:
        answer = requests.get(f"{self._root}/{path}", params=query, headers=self._headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def test_the_bad_version_is_rolled_back_as_often_as_one_likes_and_no_caller_notices(state: Path) -> None:
    mlflow = Mlflow(state)
    live = mlflow.champion()
    _is_rolled_back(state, mlflow, live)
    mlflow.set_strategy("canary")  # which would take far too long
    try:
        _is_rolled_back(state, mlflow, live)
        assert mlflow.strategy() == "canary"
    finally:
        mlflow.drop_strategy()


def _is_rolled_back(state: Path, mlflow: Mlflow, live: str) -> None:
    shown = _stagedoor(state, "demo")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Version 4 was rolled back" in shown.stdout
    assert re.search(r"e-value for a rollback \S+ of 20", shown.stdout)
    final = re.search(
        r"Callers: (\d+) requests, 0 errors; .* (\d+) of these answers stand in", shown.stdout.split("rolled back:")[1]
    )
    assert final, shown.stdout
    assert int(final[2]) >= 3
    assert f"champion is version {live} again" in shown.stdout
    assert mlflow.champion() == live
    assert mlflow.tags("4")["stagedoor.verdict"].startswith("rolled back")


def test_the_challenger_goes_live_beside_the_demos_traffic(state: Path) -> None:
    command = (*COMMAND, "demo", "--traffic", "--seconds", "400", "--state", str(state))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as traffic:
        try:
            promoted = _stagedoor(state, "promote", BREAST_CANCER, "3", "--wait", "--timeout", "360")
        finally:
            traffic.send_signal(signal.SIGINT)
            said, _ = traffic.communicate(timeout=60)
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    assert "Version 3 is live." in promoted.stdout
    assert traffic.returncode == 0, said
    assert re.fullmatch(r"Callers: \d+ requests, 0 errors; answered .*", said.splitlines()[-1]), said


def test_an_act_that_is_broken_off_leaves_no_trial_behind(state: Path) -> None:
    mlflow = Mlflow(state)
    live = mlflow.champion()
    command = (*COMMAND, "demo", "--state", str(state))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as act:
        assert act.stdout is not None
        assert any(re.search("gating|canary", line) for line in act.stdout), "it never began"
        act.send_signal(signal.SIGINT)
        _, complaint = act.communicate(timeout=60)
    assert act.returncode == 1
    assert "Ended before it was decided" in complaint
    end = time.monotonic() + 60
    while mlflow.champion() != live:
        assert time.monotonic() < end, "the alias stays where it was moved to"
        time.sleep(0.5)


def test_without_a_running_demo_it_says_how_to_start_one(tmp_path: Path) -> None:
    asked = _stagedoor(tmp_path, "demo", seconds=60)
    assert asked.returncode == 1
    assert asked.stderr == (
        "Error: No `stagedoor up --demo` with a controller runs in this state folder. "
        "Start one in another terminal, or name its folder with --state DIR.\n"
    )
