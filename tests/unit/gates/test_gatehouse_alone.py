"""What the gatehouse makes of an examiner's answers, whatever they are; the examiner here says what the test wants."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from registry_hooks.gates import Gatehouse, verdict_of
from registry_hooks.gates.examiner import ExaminerGone
from stagedoor.digest import digest_of
from stagedoor.paths import StatePaths
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.settings import Settings


def report(folder: Path, p50: float = 0.01, **changes: Any) -> dict[str, Any]:
    return {
        "digest": digest_of(folder),
        "signature": None,
        "flavor": "onnx",
        "load_seconds": 0.1,
        "memory_bytes": 1000,
        "golden": {"asked": 0, "answered": 0, "endings": [], "outputs": None},
        "latency": {"p50": p50, "p99": 2 * p50, "runs": 100},
        **changes,
    }


class Scripted:
    """Answers each request by `answer`, which gets the folder with the version's files and the number of the request."""

    def __init__(self, answer: Callable[[Path, int], Any]) -> None:
        self.answer = answer
        self.requests: list[Mapping[str, Any]] = []

    def examine(self, request: Mapping[str, Any]) -> Any:
        self.requests.append(request)
        answer = self.answer(Path(request["folder"]), len(self.requests))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


class Town:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = MemoryRegistry()

    def add(self, content: str, **tags: str) -> str:
        folder = self.root / content
        folder.mkdir()
        (folder / "MLmodel").write_text(content)
        return self.registry.register("m", folder, tags)

    def check(self, examiner: Scripted, candidate: str, live: str | None = None) -> dict[str, Any]:
        root = self.root / "state"
        house = Gatehouse(self.registry, Settings(state_dir=root), StatePaths(root), examiner=examiner)
        found = house.check(self.registry.model("m"), candidate, live, "alice")
        return {finding.gate: finding.result for finding in found}


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        lambda folder, _: ExaminerGone(),
        lambda folder, _: OSError(28, "No space left"),
        lambda folder, _: {},
        lambda folder, _: {"digest": None, "error": "The request cannot be read."},
        lambda folder, _: report(folder, golden={}),
        lambda folder, _: report(folder, latency={"p50": "quick"}),
        lambda folder, _: report(folder, digest="0" * 64),
        lambda folder, _: RuntimeError("a slip of ours"),
    ],
)
def test_an_examiner_that_fails_lets_nothing_pass_and_is_asked_again(town: Town, answer: Callable[..., Any]) -> None:
    version = town.add("one")
    found = town.check(Scripted(answer), version)
    assert verdict_of(found.items()) == "error"
    assert "No space" not in str(found)
    assert verdict_of(town.check(Scripted(lambda folder, _: report(folder)), version).items()) == "pass"


def test_a_failure_is_examined_anew_and_a_success_is_remembered(town: Town) -> None:
    version = town.add("one")
    dead = Scripted(lambda folder, _: {"digest": digest_of(folder), "failure": {"code": "LoadFailed", "reason": "No."}})
    sound = Scripted(lambda folder, _: report(folder))
    assert town.check(dead, version)["loads"].reason == "No."
    assert town.check(dead, version)["loads"].outcome == "fail"
    assert len(dead.requests) == 2
    for _ in range(3):
        assert verdict_of(town.check(sound, version).items()) == "pass"
    assert len(sound.requests) == 1


def test_other_settings_of_the_golden_gate_ask_for_another_examination(town: Town) -> None:
    version = town.add("one")
    sound = Scripted(lambda folder, _: report(folder))
    town.check(sound, version)
    town.registry.set_tag("m", "stagedoor.gate.golden", "tolerance=0.5")
    town.check(sound, version)
    assert [request["tolerance"] for request in sound.requests] == [1e-3, 0.5]


def test_a_version_that_seems_slower_is_timed_once_more_beside_the_live_one(town: Town) -> None:
    live, busy, slow = town.add("live"), town.add("busy"), town.add("slow")
    calm = Scripted(lambda folder, _: report(folder, 0.01))
    town.check(calm, live)

    hour = Scripted(lambda folder, number: report(folder, 0.05))  # the whole machine is slower than when live was measured
    assert town.check(hour, busy, live)["budget"].outcome == "pass"
    assert len(hour.requests) == 3

    own = Scripted(lambda folder, _: report(folder, 0.05 if (folder / "MLmodel").read_text() == "slow" else 0.01))
    assert town.check(own, slow, live)["budget"].outcome == "fail"


def test_a_registration_that_is_not_finished_is_waited_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    version = town.add("one")
    unfinished = replace(town.registry.version("m", version), complete=False)
    monkeypatch.setattr(town.registry, "version", lambda name, number: unfinished)
    found = town.check(Scripted(lambda folder, _: report(folder)), version)
    assert found["digest"].outcome == "wait"
    assert verdict_of(found.items()) == "error"


def test_the_live_versions_digest_is_held_against_its_record_too(town: Town) -> None:
    sound = Scripted(lambda folder, _: report(folder))
    live = town.add("live", **{"stagedoor.sha256": "0" * 64})
    found = town.check(sound, town.add("one"), live)
    assert found["compatibility"].outcome == "error"
    assert len(sound.requests) == 1
