"""Gates of other teams may raise, hang, answer nonsense or be broken: none of it lets a version pass, or stops the others."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry_hooks.gates import Case, Result, all_gates, run_gates, verdict_of

MakeCase = Callable[..., Case]


@dataclass
class Says:
    answer: Any
    name: str = "ours"

    def __call__(self, case: Case) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def ask(case: Case, gate: Any, seconds: float = 5.0) -> Result:
    return dict(run_gates((gate, Says(Result("pass", "Fine."), "next")), case, seconds))[gate.name]


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("secret"),
        SystemExit(0),
        None,
        True,
        "pass",
        Result("passed", "Fine."),  # type: ignore[arg-type]
        Result("pass", None),  # type: ignore[arg-type]
        Result("pass", "Fine.", {"x": object()}),
        Result("pass", "Fine.", {"x": float("nan")}),
    ],
)
def test_a_gate_that_does_not_answer_as_gates_do_is_an_error(case: MakeCase, answer: Any) -> None:
    result = ask(case(), Says(answer))
    assert result.outcome == "error"
    assert "secret" not in result.reason


def test_a_gate_that_hangs_is_an_error_and_the_others_are_asked(case: MakeCase) -> None:
    forever = threading.Event()

    class Hangs:
        name = "hangs"

        def __call__(self, case: Case) -> Result:
            forever.wait(60)
            return Result("pass", "Late.")

    results = run_gates((Hangs(), Says(Result("pass", "Fine."))), case(), 0.05)
    forever.set()
    assert [result.outcome for _, result in results] == ["error", "pass"]
    assert verdict_of(results) == "error"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], "error"),
        (["pass", "pass"], "pass"),
        (["pass", "wait"], "wait"),
        (["wait", "error", "pass"], "error"),
        (["error", "fail", "wait"], "fail"),
    ],
)
def test_the_worst_outcome_is_the_verdict(outcomes: list[Any], verdict: str) -> None:
    assert verdict_of((str(place), Result(outcome, "")) for place, outcome in enumerate(outcomes)) == verdict


@pytest.mark.parametrize("gate", [gate.name for gate in all_gates()])
@pytest.mark.parametrize("word", ["off", " OFF "])
def test_only_gates_that_guard_nothing_vital_can_be_switched_off(case: MakeCase, gate: str, word: str) -> None:
    found = dict(run_gates(all_gates(), case(tags={f"stagedoor.gate.{gate}": word})))[gate]
    assert found.outcome == ("error" if gate in {"digest", "loads", "approval"} else "pass")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes a distribution with these entry points importable, as pip would leave it."""

    def install(entry_points: str) -> None:
        site = tmp_path / "site"
        info = site / "team_gates-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: team-gates\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[stagedoor.gates]\n{entry_points}\n")
        (site / "team_gates.py").write_text(
            "from registry_hooks.gates import Case, Result\n"
            "class Fairness:\n    name = 'fairness'\n"
            "    def __call__(self, case):\n"
            "        return Result('fail' if case.settings == 'strict' else 'pass', 'Checked.')\n"
            "class Digest(Fairness):\n    name = 'digest'\n"
            "class NeedsMuch(Fairness):\n    def __init__(self, much): pass\n"
            "nothing = 3\n"
        )
        monkeypatch.syspath_prepend(site)

    yield install
    import sys

    sys.modules.pop("team_gates", None)


def test_teams_add_gates_by_entry_point(case: MakeCase, installed: Callable[[str], None]) -> None:
    installed("fairness = team_gates:Fairness")
    for settings, outcome in (("strict", "fail"), ("lax", "pass"), ("off", "pass")):
        results = dict(run_gates(all_gates(), case(tags={"stagedoor.gate.fairness": settings})))
        assert results["fairness"].outcome == outcome


@pytest.mark.parametrize(
    "entry_point",
    [
        "broken = no_such_module:Gate",
        "broken = team_gates:NoSuchName",
        "broken = team_gates:NeedsMuch",
        "broken = team_gates:nothing",
        "broken = team_gates:Digest",
    ],
)
def test_a_broken_extension_is_an_error_and_no_crash(
    case: MakeCase, installed: Callable[[str], None], entry_point: str
) -> None:
    installed(entry_point)
    results = run_gates(all_gates(), case())
    assert dict(results)["broken"].outcome == "error"
    assert dict(results)["digest"].outcome == "pass"
    assert verdict_of(results) == "error"
