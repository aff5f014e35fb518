"""What `serving.examine` reports of a version, parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

Specs = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """A golden request that was not answered as it should be; `ending` is the examiner's word for how."""

    name: str
    ending: str
    reason: str


@dataclass(frozen=True, slots=True)
class Golden:
    """How the golden requests went: how many were tried and answered well, and some of the others."""

    asked: int = 0
    answered: int = 0
    endings: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of a warm prediction of one row: median, 99th percentile, and the number of runs behind them."""

    p50: float
    p99: float
    runs: int


@dataclass(frozen=True, slots=True)
class Examination:
    """One version, tried in a child process.

    `failure` is (code, reason) of why it does not load; all that follows it then says nothing. `inputs`, `outputs` and
    `params` are the lists of an MLmodel's signature, None where nothing is known. `answers` are name, datatype and shape of
    what it answered to a golden request, None if it answered none.
    """

    digest: str
    failure: tuple[str, str] | None = None
    flavor: str = ""
    load_seconds: float = 0.0
    memory_bytes: int = 0
    inputs: Specs | None = None
    outputs: Specs | None = None
    params: Specs | None = None
    golden: Golden = Golden()
    answers: Specs | None = None
    latency: Latency | None = None

    @classmethod
    def read(cls, report: Mapping[str, Any]) -> Self:
        """From the examiner's JSON. Raises KeyError, TypeError or ValueError if that is not what it should be."""
        signature = report.get("signature") or {}
        inputs, outputs, params = (_specs(signature.get(key)) for key in ("inputs", "outputs", "params"))
        failure = report.get("failure")
        if failure is not None:
            why = str(failure["code"]), str(failure["reason"])
            return cls(str(report["digest"] or ""), why, inputs=inputs, outputs=outputs, params=params)
        golden = report["golden"]
        latency = report["latency"]
        return cls(
            str(report["digest"]),
            None,
            str(report["flavor"]),
            float(report["load_seconds"]),
            int(report["memory_bytes"]),
            inputs,
            outputs,
            params,
            Golden(
                int(golden["asked"]),
                int(golden["answered"]),
                tuple(Trial(str(end["name"]), str(end["ending"]), str(end["reason"])) for end in golden["endings"]),
            ),
            _specs(golden["outputs"]),
            Latency(float(latency["p50"]), float(latency["p99"]), int(latency["runs"])) if latency else None,
        )


def _specs(value: Any) -> Specs | None:  # noqa: ANN401  JSON
    return tuple(dict(item) for item in value) if value else None
