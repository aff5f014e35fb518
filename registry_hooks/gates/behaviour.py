"""Does it work, as the live version does? Judged by what its examination found."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from registry_hooks.gates import compatibility
from registry_hooks.gates.case import Case, Result
from registry_hooks.gates.examination import Examination
from registry_hooks.gates.signatures import read_form, read_params
from registry_hooks.gates.wording import Words, duration, path_inside, positive, size

_MIB: Final = 2**20
_AS_GOOD_AS_EQUAL_SECONDS: Final = 0.005
_AS_GOOD_AS_EQUAL_BYTES: Final = 64 * _MIB
_SHOWN: Final = 3


class Loads:
    """It loads in a child process, within `STAGEDOOR_GATE_TIMEOUT_SECONDS` and `STAGEDOOR_GATE_MEMORY_MIB`."""

    name: ClassVar = "loads"
    optional: ClassVar = False

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        found = case.examination
        if found is None:
            return _unexamined()
        if found.failure is not None:
            code, reason = found.failure
            return Result("fail", reason, {"code": code})
        evidence = {"flavor": found.flavor, "load_seconds": found.load_seconds, "memory_bytes": found.memory_bytes}
        return Result("pass", f"It loads in {found.load_seconds:.2f} s.", evidence)


class Compatibility:
    """It accepts all that the live version accepts, and its answers have the same names, kinds and shapes."""

    name: ClassVar = "compatibility"

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        return _beside_live(case, _compare)


class GoldenRequests:
    """The golden requests are answered: finite, and as the signature declares.

    They are the input example that was logged with the model; the operator's `control/golden/<model>.json` in the state
    folder; and with `stagedoor.gate.golden = file=golden.json tolerance=0.01` a file among the version's own. `required`
    makes a version without any fail.
    """

    name: ClassVar = "golden"
    EXAMPLE: ClassVar = "file=golden.json tolerance=0.01, or required"

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        words = self.read(case.settings)
        found = case.examination
        if found is None or found.failure is not None:
            return _unexamined()
        golden = found.golden
        evidence = {"asked": golden.asked, "answered": golden.answered}
        if golden.asked == 0:
            advice = "There is no golden request: log an input example with the model."
            return Result("fail" if "required" in words.flags else "pass", advice, evidence)
        if golden.answered < golden.asked:
            told = " ".join(f"{trial.name}: {trial.reason}" for trial in golden.endings[:_SHOWN])
            wrong = golden.asked - golden.answered
            return Result("fail", f"{wrong} of {golden.asked} golden requests went wrong. {told}", evidence)
        return Result("pass", f"All {golden.asked} golden requests are answered.", evidence)

    def read(self, text: str | None) -> Words:
        """The tag's settings. Raises InvalidTag."""
        words = Words.parse(self.name, text, self.EXAMPLE, {"file", "tolerance"})
        words.only("required")
        words.get("tolerance", positive)
        words.get("file", path_inside)
        return words


class Budget:
    """The 99th percentile of its latency and its memory stay within a multiple of the live version's, and within limits.

    `stagedoor.gate.budget = p99=50ms memory=512MiB` sets limits, `latency_ratio=3 memory_ratio=1.5` the multiples (2 by
    default). Differences of less than 5 ms or 64 MiB are none. The gatehouse measures both anew before a version is refused for
    being slower than the live one, since the live one may have been measured in a quieter hour.
    """

    name: ClassVar = "budget"
    _EXAMPLE: ClassVar = "p99=50ms memory=512MiB, or latency_ratio=3 memory_ratio=1.5"

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        words = self.read(case.settings)
        latency, memory = words.get("p99", duration), words.get("memory", size)
        ratios = self.latency_ratio(words), words.get("memory_ratio", positive) or 2.0
        found = case.examination
        if found is None or found.failure is not None:
            return _unexamined()
        evidence: dict[str, Any] = {"memory_bytes": found.memory_bytes}
        over = []
        if found.latency is not None:
            evidence |= {"p50_seconds": found.latency.p50, "p99_seconds": found.latency.p99, "runs": found.latency.runs}
        elif latency is not None:
            over.append("its latency could not be measured: log an input example")
        if latency is not None and found.latency is not None and found.latency.p99 > latency:
            over.append(f"its p99 is {_ms(found.latency.p99)}, allowed are {_ms(latency)}")
        if memory is not None and found.memory_bytes > memory:
            over.append(f"it takes {found.memory_bytes / _MIB:.0f} MiB, allowed are {memory / _MIB:.0f}")
        over.extend(_beyond(found, _live(case), *ratios, evidence))
        if over:
            return Result("fail", f"It is over its budget: {'; '.join(over)}.", evidence)
        return Result("pass", "It is within its budget.", evidence)

    def read(self, text: str | None) -> Words:
        """The tag's settings. Raises InvalidTag."""
        words = Words.parse(self.name, text, self._EXAMPLE, {"p99", "memory", "latency_ratio", "memory_ratio"})
        words.only()
        self.latency_ratio(words)
        return words

    def latency_ratio(self, words: Words) -> float:
        """How many times the live version's latency is allowed."""
        return words.get("latency_ratio", positive) or 2.0


def _live(case: Case) -> Examination | None:
    """A live version that cannot be examined any more is no measure; compatibility is what holds it up."""
    live = case.live_examination
    return live if live is not None and live.failure is None else None


def _beyond(
    found: Examination, live: Examination | None, latency_ratio: float, memory_ratio: float, evidence: dict[str, Any]
) -> list[str]:
    if live is None:
        return []
    evidence["live_memory_bytes"] = live.memory_bytes
    over = []
    if live.latency is not None and found.latency is not None:
        evidence |= {"live_p50_seconds": live.latency.p50, "live_p99_seconds": live.latency.p99}
    if is_slower(found, live, latency_ratio) and found.latency is not None and live.latency is not None:
        p99, was = _ms(found.latency.p99), _ms(live.latency.p99)
        over.append(f"its p99 is {p99}, more than {latency_ratio:g} times the live version's {was}")
    memory, had = found.memory_bytes, live.memory_bytes
    if memory > memory_ratio * had and memory - had > _AS_GOOD_AS_EQUAL_BYTES:
        over.append(
            f"it takes {memory / _MIB:.0f} MiB, more than {memory_ratio:g} times the live version's {had / _MIB:.0f} MiB"
        )
    return over


def is_slower(found: Examination, live: Examination, ratio: float) -> bool:
    """Whether both its median and its tail are more than `ratio` times those of `live`.

    Both, because a busy machine makes any tail long; a candidate with nothing but a bad tail is left to the canary.
    """
    new, old = found.latency, live.latency
    if new is None or old is None or new.p99 - old.p99 <= _AS_GOOD_AS_EQUAL_SECONDS:
        return False
    return new.p99 > ratio * old.p99 and new.p50 > ratio * old.p50


def _compare(found: Examination, live: Examination) -> Result:
    try:
        refused = compatibility.accepts_all(read_form(live.inputs), read_form(found.inputs))
        refused += compatibility.accepts_params(read_params(live.params), read_params(found.params))
        unlike = compatibility.answers_alike(read_form(live.outputs), read_form(found.outputs))
    except ValueError:
        return Result("error", "A signature cannot be read. Log the model again with a current MLflow.")
    if not unlike and live.answers is not None and found.answers is not None:
        unlike = compatibility.observed_alike(live.answers, found.answers)
    if refused or unlike:
        first = "; ".join([*refused, *unlike][:_SHOWN])
        return Result(
            "fail",
            f"It cannot take the live version's place: {first}. Register it under another name, or, if no caller minds, "
            "set stagedoor.gate.compatibility = off.",
            {"inputs": refused, "outputs": unlike},
        )
    return Result("pass", "It accepts what the live version accepts, and answers alike.")


def _beside_live(case: Case, compare: Callable[[Examination, Examination], Result]) -> Result:
    if case.examination is None or case.examination.failure is not None:
        return _unexamined()
    if case.live is None and case.live_trouble is None:
        return Result("pass", "No version is live, so there is nothing to compare with.")
    if case.live_examination is None or (case.live_examination.failure and case.live_examination.inputs is None):
        why = case.live_trouble.reason if case.live_trouble else "It does not load here."
        return Result(
            "error",
            f"The live version cannot be examined: {why} To promote without comparing, set stagedoor.gate.compatibility = off.",
        )
    return compare(case.examination, case.live_examination)


def _unexamined() -> Result:
    return Result("error", "It could not be tried; the gates digest and loads say why.")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
