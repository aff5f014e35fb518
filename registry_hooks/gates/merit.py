"""Should it go live? Its metrics, a second person, and the order of version numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import semver

from registry_hooks.gates.case import Case, Result
from registry_hooks.gates.wording import Words, number
from stagedoor import names

_NOBODY: Final = frozenset({"", "unknown"})
_ROUNDING: Final = 1e-12
"""0.90 - 0.89 is a little more than 0.01 in floating point."""


class Metric:
    """A metric of the version's run is no worse than the live version's.

    `stagedoor.gate.metric = accuracy margin=0.01`: at most 0.01 below. `log_loss lower margin=0.02`: lower is better.
    `accuracy min=0.9` (or `max=`) sets a limit of its own.
    """

    name: ClassVar = "metric"
    _EXAMPLE: ClassVar = "accuracy margin=0.01, or log_loss lower margin=0.02, or accuracy min=0.9"

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        if case.settings is None:
            return Result("pass", "No metric is asked for.", {"asked": False})
        asked = self._read(case.settings)
        if case.facts.metrics_trouble:
            return Result("error", case.facts.metrics_trouble)
        value = _finite(case.facts.metrics, asked.metric)
        if value is None:
            return Result("fail", f"Its run has no finite metric {asked.metric}. Log it to the run that the version came from.")
        evidence: dict[str, Any] = {"metric": asked.metric, "value": value, "margin": asked.margin}
        if not asked.least <= value <= asked.most:
            return Result("fail", f"Its {asked.metric} is {value:g}, beyond the limit that the tag sets.", evidence)
        if case.live is None and case.live_trouble is None:
            return Result("pass", f"Its {asked.metric} is {value:g}; no version is live.", evidence)
        return _beside(asked, value, _finite(case.facts.live_metrics, asked.metric), evidence)

    def _read(self, text: str) -> "_Asked":
        words = Words.parse(self.name, text, self._EXAMPLE, {"margin", "min", "max"})
        metric, *sense = words.flags or ("",)
        margin = words.get("margin", number) or 0.0
        least, most = words.get("min", number), words.get("max", number)
        if not metric or sense not in ([], ["lower"], ["higher"]) or margin < 0:
            raise words.wrong()
        return _Asked(
            metric,
            margin,
            lower=sense == ["lower"],
            least=-math.inf if least is None else least,
            most=math.inf if most is None else most,
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the tag asks of the metric."""

    metric: str
    margin: float
    lower: bool
    least: float
    most: float


def _finite(metrics: Mapping[str, float] | None, name: str) -> float | None:
    value = (metrics or {}).get(name)
    return value if value is not None and math.isfinite(value) else None


def _beside(asked: _Asked, value: float, live: float | None, evidence: dict[str, Any]) -> Result:
    if live is None:
        return Result("error", f"The live version's run has no finite metric {asked.metric}. Log it there.", evidence)
    evidence["live"] = live
    worse = value - live if asked.lower else live - value
    told = f"Its {asked.metric} is {value:g}, the live version's {live:g}"
    if worse > asked.margin + _ROUNDING * max(abs(value), abs(live)):
        return Result("fail", f"{told}, the margin {asked.margin:g}.", evidence)
    return Result("pass", f"{told}.", evidence)


class Approval:
    """With `stagedoor.approval = required`: somebody other than the one who promoted it has approved the version."""

    name: ClassVar = "approval"
    optional: ClassVar = False

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        asked = case.model.tags.get(names.TAG_APPROVAL)
        if asked is None:
            return Result("pass", "No approval is asked for.", {"asked": False})
        if asked.strip().lower() != "required":
            return Result("error", f"Tag {names.TAG_APPROVAL}: write required, or remove it.")
        how = f"`stagedoor approve {case.model.name} {case.candidate.version}`"
        by, approved = case.facts.who, case.candidate.tags.get(names.TAG_APPROVED, "").strip()
        if by in _NOBODY:
            return Result("wait", "Nobody can say who promoted it. Promote it with `stagedoor promote`, then have it approved.")
        if not approved:
            return Result("wait", f"A second person has to approve it: {how}.", {"promoted_by": by})
        evidence = {"promoted_by": by, "approved_by": approved}
        if approved == by:
            return Result("wait", f"Somebody other than the one who promoted it has to approve it: {how}.", evidence)
        return Result("pass", "A second person has approved it.", evidence)


class Downgrade:
    """With `stagedoor.gate.downgrade = refuse`: the tag `semver` of the version is not below the live version's."""

    name: ClassVar = "downgrade"
    _EXAMPLE: ClassVar = "refuse"

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        if case.settings is None:
            return Result("pass", "Downgrades are not refused.", {"asked": False})
        words = Words.parse(self.name, case.settings, self._EXAMPLE, ())
        if words.flags != ("refuse",):
            raise words.wrong()
        own = _semver(case.candidate.tags.get(names.TAG_SEMVER))
        if own is None:
            return Result("fail", f"It has no semantic version. Set its tag {names.TAG_SEMVER}, as in 1.4.2.")
        if case.live is None and case.live_trouble is not None:
            return Result("error", f"The live version is not known: {case.live_trouble.reason}")
        live = _semver(case.live.tags.get(names.TAG_SEMVER)) if case.live is not None else None
        if live is None:
            return Result("pass", "There is no live version with a semantic version.")
        evidence = {"semver": str(own), "live": str(live)}
        if own < live:
            return Result("fail", f"{own} is below {live}, which is live. Use `stagedoor rollback` to go back.", evidence)
        return Result("pass", f"{own} is not below {live}.", evidence)


def _semver(text: str | None) -> semver.Version | None:
    try:
        return semver.Version.parse((text or "").strip().removeprefix("v"))
    except ValueError:
        return None
