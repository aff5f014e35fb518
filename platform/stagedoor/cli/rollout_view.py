"""The controller's account of a model as a picture for the terminal. Pure; folds instead of cutting where it is narrow."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from stagedoor.cli.endings import GOOD, SAID
from stagedoor.cli.status_view import bar, percent
from stagedoor.domain.confidence import RATIO_ALPHA

Json = Mapping[str, Any]

_COLOURS: Final = {
    "idle": "dim",
    "refused": "red",
    "frozen": "red",
    "held": "yellow",
    "paused": "yellow",
    "drill": "magenta",
}
_ALPHA: Final = 0.05
_MARKS: Final = {"fail": ("✗", "red"), "error": ("!", "red"), "wait": ("…", "yellow")}


def rollouts(models: Sequence[Json], now: float | None = None) -> RenderableType:
    """All models, a block each, those that are under way first."""
    moment = time.time() if now is None else now
    ordered = sorted(models, key=lambda model: (not model.get("candidate"), str(model.get("model"))))
    return Group(*(rollout(model, moment) for model in ordered))


def rollout(model: Json, now: float) -> RenderableType:
    """One model: phase, steps, e-values with their thresholds, what waits for what, gates, how the last one ended."""
    return Group(*_lines(model, now))


def _lines(model: Json, now: float) -> Iterator[Text]:
    yield _headline(model)
    if model.get("candidate"):
        yield from _under_way(model)
    yield from _gates(model.get("gates") or (), every=bool(model.get("candidate")))
    if model.get("last"):
        yield _last(model["last"], now)
    for problem in model.get("problems") or ():
        yield _line(f"problem: {problem}", "red")


def _headline(model: Json) -> Text:
    phase = str(model.get("phase", "unknown"))
    stable = model.get("stable")
    text = Text.assemble((str(model.get("model")), "bold"), "  ", (phase, _COLOURS.get(phase, "cyan")), overflow="fold")
    candidate = model.get("candidate")
    if candidate:
        text.append(f"  version {candidate}", "cyan")
        text.append(f" to replace {stable}" if stable else " as the first")
        if model.get("strategy"):
            text.append(f"  ({model['strategy']})", "dim")
    else:
        text.append(f"  version {stable} is live" if stable else "  nothing is live", "green" if stable else "dim")
    if model.get("epoch") is not None:
        text.append(f"  epoch {model['epoch']}", "dim")
    if candidate and model.get("who"):
        text.append(f"  by {model['who']}", "dim")
    return text


def _under_way(model: Json) -> Iterator[Text]:
    steps = model.get("steps") or ()
    weight = int(model.get("weight") or 0)
    if steps:
        yield _steps(steps, int(model.get("step") or 0), weight)
    verdict = model.get("verdict") or {}
    numbers = verdict.get("numbers") or {}
    if numbers:
        yield _line(_numbers(numbers, model.get("rules") or {}))
    if verdict.get("reason"):
        yield _line(f"{str(verdict.get('kind', 'hold')).replace('_', ' ')}: {verdict['reason']}")
    if model.get("waiting_for"):
        yield _line(f"waits for {model['waiting_for']}", "yellow")


def _steps(steps: Sequence[int], step: int, weight: int) -> Text:
    text = Text("  ", overflow="fold")
    text.append(bar(weight), "cyan")
    text.append(f"  {percent(weight)}", "bold cyan")
    text.append(f"  step {min(step + 1, len(steps))} of {len(steps)}:")
    for index, share in enumerate(steps):
        style = "green" if index < step else "bold cyan" if index == step else "dim"
        text.append(f" {percent(share)}", style)
    return text


def _numbers(numbers: Json, rules: Json) -> str:
    """e-values beside what they have to reach (Ville: one over the error that is allowed); then the counts."""
    bounds = {
        "e_rollback": ("rollback", rules.get("alpha", _ALPHA)),
        "e_promote": ("promotion", rules.get("beta", _ALPHA)),
        "e_ratio": ("uneven split", RATIO_ALPHA),
    }
    said = [
        f"{name} {_short(numbers[key])} of {1 / bound:g}"
        for key, (name, bound) in bounds.items()
        if numbers.get(key) is not None
    ]
    text = f"e-values: {', '.join(said)}" if said else ""
    counts = [f"{_short(numbers[key])} {key}" for key in ("outcomes", "failures") if numbers.get(key) is not None]
    return "; ".join(part for part in (text, ", ".join(counts)) if part)


def _short(value: Any) -> str:  # noqa: ANN401  a number of JSON, or a text for an infinite one
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _gates(gates: Sequence[Json], *, every: bool) -> Iterator[Text]:
    """Gates that passed in one line, if they matter now; each other one with its reason."""
    passed = [str(gate.get("gate")) for gate in gates if gate.get("outcome") == "pass"]
    if every and passed:
        yield _line(f"gates passed: {', '.join(passed)}", "green")
    for gate in gates:
        if gate.get("outcome") != "pass":
            mark, style = _MARKS.get(str(gate.get("outcome")), ("?", "dim"))
            yield _line(f"{mark} {gate.get('gate')}: {gate.get('reason')}", style)


def _last(last: Json, now: float) -> Text:
    outcome = str(last.get("outcome"))
    style = "green" if outcome in GOOD else "red" if outcome in {"rolled_back", "refused"} else "yellow"
    text = Text("  last: version ", overflow="fold")
    text.append(f"{last.get('version')} {SAID.get(outcome, outcome)}", style)
    if last.get("at"):
        text.append(f" {ago(now - float(last['at']))} ago")
    if last.get("reason"):
        text.append(f": {last['reason']}")
    return text


def ago(seconds: float) -> str:
    """A time span as people say it."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _line(words: str, style: str = "") -> Text:
    return Text(f"  {words}", style, overflow="fold")
