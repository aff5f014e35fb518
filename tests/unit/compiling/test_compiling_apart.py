"""Compiling happens in a process of its own, and what serves its result needs none of the libraries."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.compiling.promotion import Compiled, compile_version, is_candidate, tools
from serving.snapshot_file import write_snapshot
from serving.store import Store, folder_of
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.paths import StatePaths

from .conftest import OPTIONS, Save, labels, table

pytestmark = [pytest.mark.slow]

Compile = Callable[..., tuple[Compiled, str]]

WORKER = """
import json, sys, time
from pathlib import Path
from serving.codecs import CODECS, Wire
from serving.pool import Pool
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

root, body = Path(sys.argv[1]), sys.argv[2]
pool = Pool(Settings(state_dir=root), StatePaths(root))
pool.start()
deadline = time.monotonic() + 60
while pool.view.serial == 0 and time.monotonic() < deadline:
    time.sleep(0.01)
version = pool.view.models["m"].loaded["1"]
decoded = CODECS["mlflow"].decode(Wire(body.encode(), "application/json", {}), version.signature, 100)
answer = version.predictor.predict(decoded.inputs).arrays[""].tolist()
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"mlflow", "sklearn", "pandas", "skl2onnx", "onnx"})
report = json.loads(next(StatePaths(root).workers.glob("*.json")).read_text())["models"]["m"]["loaded"]
pool.stop()
print(json.dumps({"answer": answer, "heavy": heavy, "compiled": version.compiled, "flavor": version.flavor, "report": report}))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(StatePaths(tmp_path / "state").store, 10**9)


@pytest.fixture
def compile_one(store: Store, tmp_path: Path) -> Compile:
    """Puts a folder into the store and compiles it in a child; returns the outcome and the folder's digest."""

    def run(folder: Path, timeout: float = 100.0, **options: Any) -> tuple[Compiled, str]:
        digest = store.ingest(lambda into: shutil.copytree(folder, into, dirs_exist_ok=True) and None)
        golden = tmp_path / "golden"
        how = replace(OPTIONS, **options)
        return compile_version(digest, "m", store=store, golden=golden, options=how, timeout=timeout), digest

    return run


def linear(data: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500).fit(data, labels(data, ["no", "yes"]))


def publish(root: Path, entry: VersionEntry) -> None:
    route = Route(1, (Arm("champion", "1", 10_000),), b"salt")
    model = ModelEntry("m", aliases={"champion": "1"}, route=route, versions={"1": entry})
    write_snapshot(StatePaths(root).snapshot, Snapshot(1, {"m": model}))


def ask_a_worker(root: Path, body: str) -> dict[str, Any]:
    command = [sys.executable, "-c", WORKER, str(root), body]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=Path.cwd())
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_a_worker_serves_a_compiled_version_without_any_library_of_models(
    tmp_path: Path, store: Store, save: Save, compile_one: Compile
) -> None:
    data = table()
    model = linear(data)
    outcome, digest = compile_one(save(model, data))
    assert outcome.said.startswith("onnx: equal on ")
    evidence = json.loads((folder_of(store.root, outcome.digest) / "compiled.json").read_text())
    assert (evidence["source"], evidence["tools"]) == (digest, tools())
    publish(tmp_path / "state", VersionEntry("1", "ready", digest, "python_function", 1, compiled=outcome.digest))
    rows = table(4, seed=5)
    found = ask_a_worker(tmp_path / "state", json.dumps({"dataframe_split": rows.to_dict(orient="split", index=False)}))
    assert found["answer"] == pytest.approx(model.predict(rows).tolist())  # a sum may differ in its last digit
    assert found["heavy"] == []
    assert (found["compiled"], found["flavor"]) == (True, "onnx")
    assert found["report"][0]["compiled"] is True


def test_a_worker_whose_compiled_form_is_damaged_serves_the_version_itself(
    tmp_path: Path, store: Store, save: Save, compile_one: Compile
) -> None:
    data = table()
    outcome, digest = compile_one(save(linear(data), data, serialization_format="skops"))
    graph = folder_of(store.root, outcome.digest) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes()[:-1])
    publish(tmp_path / "state", VersionEntry("1", "ready", digest, "python_function", 1, compiled=outcome.digest))
    rows = table(4, seed=5)
    found = ask_a_worker(tmp_path / "state", json.dumps({"dataframe_split": rows.to_dict(orient="split", index=False)}))
    assert (found["compiled"], found["flavor"]) == (False, "python_function")
    assert len(found["answer"]) == 4


def unruly(deed: str) -> Any:
    """An estimator that does something to whoever asks it about many rows."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Unruly(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.array([0, 1])
        n_features_in_ = 4

        def __init__(self, deed: str = "") -> None:
            self.deed = deed

        def predict(self, rows: Any) -> Any:
            import os
            import random
            import time

            import numpy  # noqa: ICN001  the module above is not there in a child

            if len(rows) > 10 and self.deed == "crash":
                os.abort()
            if len(rows) > 10 and self.deed == "hang":
                time.sleep(600)
            if self.deed == "random":
                return numpy.array([random.randint(0, 1) for _ in range(len(rows))])  # noqa: S311
            return numpy.zeros(len(rows), int)

    return Unruly(deed)


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("crash", "no: Converting it did not end well. "),
        ("hang", "no: Converting it and proving it equal took longer than 8 seconds; raise STAGEDOOR_COMPILE_TIMEOUT_SECONDS"),
        ("random", "no: It answers the same rows differently"),
        ("unknown", "no: No graph is equal to it: in double precision it cannot be converted"),
    ],
)
def test_a_version_that_resists_is_merely_not_compiled(
    store: Store, save: Save, compile_one: Compile, deed: str, said: str
) -> None:
    folder = save(unruly(deed), table(8), serialization_format="cloudpickle")
    outcome, digest = compile_one(folder, timeout=8.0 if deed == "hang" else 100.0)
    assert outcome.digest == ""
    assert outcome.said.startswith(said)
    assert sorted(path.name for path in store.root.iterdir()) == [digest]


def test_a_pickle_is_not_loaded_in_order_to_compile_it(save: Save, compile_one: Compile) -> None:
    data = table()
    outcome, _ = compile_one(save(linear(data), data), allow_pickle=False)
    assert (outcome.digest, "pickle" in outcome.said) == ("", True)


def test_skops_is_compiled_where_pickles_are_not_allowed(save: Save, compile_one: Compile) -> None:
    data = table()
    outcome, _ = compile_one(save(linear(data), data, serialization_format="skops"), allow_pickle=False)
    assert outcome.said.startswith("onnx: ")


def test_models_of_the_three_libraries_are_candidates_and_others_are_not(tmp_path: Path, save: Save) -> None:
    data = table()
    assert is_candidate(save(linear(data), data))
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n")
    assert not is_candidate(tmp_path)
    assert not is_candidate(tmp_path / "nowhere")
