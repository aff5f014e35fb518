"""Convert, compare, time: the work of the child process, on one version."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from serving.compiling.converters import parts_of
from serving.compiling.given import columns_of, given_inputs
from serving.compiling.graphs import Precision, build, precisions
from serving.compiling.landmarks import categories, landmarks
from serving.compiling.parity import Asked, Tally, Unequal, compare, compare_edges, compare_singly
from serving.compiling.refusals import Edge, edges, find_refusals
from serving.compiling.rows import Ask, Rows, Sampler, boundaries, count_of, inputs_of, take
from serving.compiling.subject import Subject, Unsuited
from serving.loading.loaders.compiled import GRAPH, Refusals, load_compiled
from serving.loading.loaders.options import LoadOptions
from serving.loading.mlmodel import FILE_NAME, read_mlmodel
from serving.loading.version import one_line
from serving.loading.warmup import time_runs
from serving.values import Array, Inputs
from stagedoor import names

EVIDENCE: Final = "compiled.json"
MOST_ROWS: Final = 3000
FEWEST_ROWS: Final = 200
MOST_PAIRS: Final = 256
ENOUGH_SECONDS: Final = 1.0
EXTREME_ROWS: Final = 64
SINGLE_ROWS: Final = 16
_REASONS: Final = 2
FASTER: Final = 1.2
"""A graph that is not that many times faster than the model is not worth having."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves the one form equal to the other. Times are seconds for one row."""

    rows: int
    difference: float
    native_seconds: float
    compiled_seconds: float
    precision: str

    @property
    def sentence(self) -> str:
        """For people, on the version in MLflow."""
        ratio = self.native_seconds / self.compiled_seconds
        times = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"  # noqa: PLR2004  two digits are enough
        slow, fast = self.native_seconds * 1000, self.compiled_seconds * 1000
        return (
            f"onnx: equal on {self.rows} rows, largest difference {self.difference:.0e}, {times} times faster "
            f"({slow:.3g} -> {fast:.3g} ms)"
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """The rows that every form is tried on, with the model's own answers to them, and what the model refuses."""

    plain: list[tuple[str, Rows, Array]]
    given: list[tuple[Inputs, Array]]
    special: list[Edge]
    refusals: dict[str, Refusals]
    sample: Inputs


def prove(subject: Subject, into: Path, options: LoadOptions, golden: list[Path], about: dict[str, str]) -> Evidence:
    """Write the first form that is equal to `into`: an MLmodel folder of its own, and `about` with the evidence beside it.

    Raises Unsuited with the reason if none is.
    """
    native = Asked(subject.version.predictor, subject.version.signature, subject.tensor)
    trial = _trial(subject, native, options, golden)
    seconds = time_runs(native.predictor, trial.sample)
    reasons = []
    for precision in precisions(subject):
        try:
            evidence = _try(subject, precision, trial, into, options, seconds)
        except Unequal as error:
            reasons.append(f"in {precision.name} precision {error}")
        except Unsuited:
            raise
        except Exception as error:  # noqa: BLE001  converters and runtimes raise anything on what they do not know
            reasons.append(f"in {precision.name} precision it cannot be converted ({one_line(error).rstrip('.')})")
        else:
            (into / EVIDENCE).write_text(json.dumps({**about, **asdict(evidence)}, indent=1), "utf-8")
            return evidence
    raise Unsuited(f"No graph is equal to it: {'; '.join(list(dict.fromkeys(reasons))[:_REASONS])}. It is served as it is.")


def _try(  # noqa: PLR0913, PLR0917  everything that was found out before
    subject: Subject, precision: Precision, trial: Trial, into: Path, options: LoadOptions, native_seconds: float
) -> Evidence:
    graph = build(subject, precision, trial.plain[0][2])
    _write(subject, graph.SerializeToString(), trial.refusals, into)
    mlmodel = read_mlmodel(into)
    compiled = Asked(load_compiled(mlmodel, options), subject.version.signature, subject.tensor)
    native = replace(compiled, predictor=subject.version.predictor)
    tally = Tally()
    for where, rows, answer in trial.plain:
        compare(answer, compiled.ask(rows), tally, where)
    for inputs, answer in trial.given:
        compare(answer, compiled.answer(inputs), tally, "rows of given requests")
    compare_singly(native, compiled, take(trial.plain[0][1], slice(0, SINGLE_ROWS)), tally)
    compare_edges(native, compiled, trial.special, tally)
    seconds = time_runs(compiled.predictor, trial.sample)
    if seconds * FASTER > native_seconds:
        raise Unsuited("A graph of it is not faster than the model itself. It is served as it is.")
    return Evidence(tally.rows, tally.difference, native_seconds, seconds, precision.name)


def _write(subject: Subject, graph: bytes, refusals: dict[str, Refusals], into: Path) -> None:
    """The graph, and an MLmodel file with the signature and example of the original, so that it loads like any version."""
    source = yaml.safe_load((subject.mlmodel.folder / FILE_NAME).read_text("utf-8"))
    kept = {key: source[key] for key in ("signature", "saved_input_example_info") if source.get(key)}
    conf = {"data": GRAPH, "refuses": {name: rules.as_json() for name, rules in refusals.items()}}
    example = subject.mlmodel.example
    if example is None:
        kept.pop("saved_input_example_info", None)
    else:
        (into / example.name).write_bytes(example.read_bytes())
    content = {"flavors": {names.FLAVOR_COMPILED: conf}, "metadata": {"stagedoor_batch": True}, **kept}
    (into / FILE_NAME).write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    (into / GRAPH).write_bytes(graph)


def _trial(subject: Subject, native: Asked, options: LoadOptions, golden: list[Path]) -> Trial:
    given = given_inputs(subject.mlmodel, subject.version.signature, options.max_rows, golden)
    columns = list(subject.columns)
    pools = landmarks(subject.raw, columns)
    for inputs in given:
        for name, values in columns_of(inputs).items():
            pools[name] += values.tolist()[:MOST_ROWS]
    known = categories(subject.raw, columns)
    sampler = Sampler(subject.columns, {**pools, **known}, frozenset(known), np.random.default_rng(0))
    row = _answered(native, sampler)
    count = _affordable(native, sampler)
    plain = [("made-up rows", sampler.plain(count)), ("extreme rows", sampler.extreme(EXTREME_ROWS))]
    pairs = sampler.plain(min(count, MOST_PAIRS)), sampler.plain(min(count, MOST_PAIRS))
    scores = _scores(subject, answers_numbers=native.ask(row).dtype.kind == "f")
    between = boundaries(native.ask, scores, *pairs, subject.columns, _TOLERANCE)
    if between is not None:
        plain.append(("rows at the edge of two answers", between))
    asked = [(where, rows, native.ask(rows)) for where, rows in plain]
    if any(not np.array_equal(answer, native.ask(rows), equal_nan=answer.dtype.kind == "f") for _, rows, answer in asked):
        raise Unsuited("It answers the same rows differently from one time to the next, so no graph can be equal to it.")
    answers = [(inputs, native.answer(inputs)) for inputs in given]
    sample = given[0] if given else inputs_of(row, native.signature, tensor=subject.tensor)
    refusals = find_refusals(native.refuses, row, subject.columns, known)
    return Trial(asked, answers, edges(subject.columns, row), refusals, sample)


_TOLERANCE: Final = 1e-5


def _answered(native: Asked, sampler: Sampler) -> Rows:
    """A made-up row that the model answers. Raises Unsuited where it refuses them all."""
    rows = sampler.plain(SINGLE_ROWS)
    for place in range(count_of(rows)):
        row = take(rows, slice(place, place + 1))
        if not native.refuses(row):
            return row
    raise Unsuited("It refuses every row that was made up to try it; log an input example, or serve it as it is.")


def _affordable(native: Asked, sampler: Sampler) -> int:
    """How many rows the model answers in about a second."""
    rows = sampler.plain(FEWEST_ROWS)
    start = time.perf_counter()
    native.ask(rows)
    each = (time.perf_counter() - start) / FEWEST_ROWS
    return int(min(MOST_ROWS, max(FEWEST_ROWS, ENOUGH_SECONDS / each)))


def _scores(subject: Subject, *, answers_numbers: bool) -> Ask | None:
    """What the model's labels follow from; for models that answer numbers, the answer itself."""
    raw = subject.raw
    for part in parts_of(raw):
        if hasattr(part, "decision_function_shape"):  # of SVC: its other shape counts votes, which jump
            part.decision_function_shape = "ovo"
    for name in ("predict_proba", "decision_function"):
        if hasattr(raw, name):
            return partial(_ask_raw, getattr(raw, name), subject)
    return partial(_ask_raw, raw.predict, subject) if answers_numbers else None


def _ask_raw(function: Callable[[Any], Any], subject: Subject, rows: Rows) -> Array:
    if subject.tensor:
        return np.asarray(function(np.stack(list(rows.values()), axis=1)))
    import pandas as pd  # noqa: PLC0415  in child processes only

    return np.asarray(function(pd.DataFrame(rows)))
