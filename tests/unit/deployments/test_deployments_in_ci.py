"""The real mlflow command, the workflow of docs/ci and its shell twin, against the app that follows the contract."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deployments.conftest import NOW, TOKEN, row

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CI = Path(__file__).parents[3] / "docs" / "ci"
REFUSED = {"outcome": "refused", "version": "8", "reason": "gate signature failed", "at": NOW + 1, "epoch": 13}
GATES = [{"gate": "signature", "outcome": "fail", "reason": "column amount is missing", "evidence": {}}]


def _run(command: tuple[str, ...] | list[str], stage: Any, **more: str) -> "subprocess.CompletedProcess[str]":
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": beside, "MLFLOW_TRACKING_TOKEN": TOKEN, "STAGEDOOR_URL": stage.url, **more}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def _workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CI / "github-actions.yml").read_text())
    return found


def _step(name: str) -> dict[str, Any]:
    steps = _workflow()["jobs"]["promote"]["steps"]
    found: dict[str, Any] = next(step for step in steps if step.get("id") == name)
    return found


def test_the_workflow_gives_each_step_every_variable_it_uses() -> None:
    workflow = _workflow()
    for step in workflow["jobs"]["promote"]["steps"]:
        used = set(re.findall(r"\$\{?([A-Z_]+)", step.get("run", "")))
        assert used <= set(workflow["env"]) | set(step.get("env", {})), step
    assert "secrets." in workflow["env"]["MLFLOW_TRACKING_TOKEN"]


def test_the_workflows_promotion_passes_when_the_version_is_live(stage: Any) -> None:
    stage.tell(row("gating", candidate="8"), row("canary", candidate="8", weight=500), row(stable="8"))
    ran = _run(["bash", "-e", "-c", _step("promote")["run"]], stage, MODEL="fraud", VERSION="8")
    assert ran.returncode == 0, ran.stderr
    assert "canary at 5.00%" in ran.stderr
    assert "Version 8 is live." in ran.stderr
    assert "stagedoor deployment fraud is created" in ran.stdout
    assert stage.commands[0][1]["strategy"] == "canary steps=5,25,100 interval=60s"


def test_the_workflows_promotion_fails_the_build_when_a_gate_fails(stage: Any) -> None:
    stage.tell(row("gating", candidate="8"), row("refused", gates=GATES, last=REFUSED))
    ran = _run(["bash", "-e", "-c", _step("promote")["run"]], stage, MODEL="fraud", VERSION="8")
    assert ran.returncode == 3
    assert "Error: Version 8 was refused: gate signature failed" in ran.stderr
    assert "column amount is missing" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_shell_script_does_the_same_and_says_what_it_lacks(stage: Any) -> None:
    stage.tell(row("canary", candidate="8"))
    ran = _run([str(CI / "promote.sh"), "fraud", "8", "blue-green"], stage, TIMEOUT="1s")
    assert ran.returncode == 4
    assert stage.commands[0][1]["strategy"] == "blue-green"
    assert _run([str(CI / "promote.sh"), "fraud"], stage).returncode == 2
    nameless = _run([str(CI / "promote.sh"), "fraud", "8"], stage, STAGEDOOR_URL="")
    assert nameless.returncode == 1
    assert "STAGEDOOR_URL" in nameless.stderr


def test_what_is_live_is_printed_line_by_line(stage: Any) -> None:
    live = _run(["bash", "-e", "-c", _step("live")["run"]], stage, MODEL="fraud")
    assert "stable: 7" in live.stdout
