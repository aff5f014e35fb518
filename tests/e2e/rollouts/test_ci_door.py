"""The `mlflow deployments` commands against the running system, as a pipeline calls them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from . import models
from .system import JUDGED, System, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAMES = ("ci-good", "ci-broken", "ci-harmful", "ci-update", "ci-delete")
OPTIONS = ("-C", "strategy=canary", "-C", "steps=10,50", "-C", "interval=1s", "-C", "outcomes=20", "-C", "timeout=300s")
JUDGE = tuple(word for setting in JUDGED.split() for word in ("-C", setting))


@pytest.fixture(scope="module", autouse=True)
def _live(system: System) -> Iterator[None]:
    """Version 1 is live and asked; version 2 is what the name says."""
    system.with_live(*NAMES, files=models.GOOD)
    for name, files in zip(NAMES, (models.GOOD, models.BROKEN, models.HARMFUL, models.GOOD), strict=False):
        system.register(name, files)
    with ExitStack() as stack:
        for name in NAMES[:3]:
            stack.enter_context(system.traffic(name))
        yield


def test_create_ends_as_the_rollout_ends(system: System) -> None:
    def create(name: str) -> tuple[int, str]:
        done = system.deployments("create", "--name", name, "-m", f"models:/{name}/2", *OPTIONS, *JUDGE, "-C", "wait=true")
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(3) as pool:
        good, broken, harmful = pool.map(create, NAMES[:3])
    assert good[0] == 0, good[1]
    assert broken[0] != 0
    assert "refused" in broken[1]
    assert "loads: The ONNX file is damaged" in broken[1]
    assert harmful[0] != 0
    assert "rolled back" in harmful[1]
    system.goes_live("ci-good", "2")
    for name in ("ci-broken", "ci-harmful"):
        system.goes_live(name, "1")
        assert system.champion(name) == "1"


def test_the_other_verbs_do_what_they_say(system: System, tmp_path: Path) -> None:
    promoted = system.deployments(
        "update", "--name", "ci-update", "-m", "models:/ci-update/2", "-C", "strategy=immediate", "-C", "timeout=300s"
    )
    assert promoted.returncode == 0, promoted.stderr
    system.goes_live("ci-update", "2")
    with ThreadPoolExecutor(3) as pool:
        rows = tmp_path / "rows.json"
        rows.write_text(json.dumps([{"x": 4.0}]))
        asked = [
            pool.submit(system.deployments, "list"),
            pool.submit(system.deployments, "get", "--name", "ci-update"),
            pool.submit(system.deployments, "predict", "--name", "ci-update", "-I", str(rows)),
        ]
        listed, got, predicted = (one.result() for one in asked)
    assert "ci-update" in listed.stdout, listed.stderr
    assert "stable: 2" in got.stdout.replace("'", ""), got.stdout + got.stderr
    assert predicted.returncode == 0, predicted.stdout + predicted.stderr
    assert "2.0" in predicted.stdout


def test_delete_takes_a_model_out_of_service_when_it_is_meant(system: System) -> None:
    unconfirmed = system.deployments("delete", "--name", "ci-delete")
    assert unconfirmed.returncode != 0
    assert "confirm=true" in unconfirmed.stdout + unconfirmed.stderr
    assert system.predict("ci-delete").status == 200
    deleted = system.deployments("delete", "--name", "ci-delete", "-C", "confirm=true")
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr
    until(lambda: system.predict("ci-delete").status in {404, 503}, "nothing answers any more")
    assert system.champion("ci-delete") is None
