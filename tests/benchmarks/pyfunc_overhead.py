"""What a prediction through pyfunc costs beside the model itself: here, and in MLflow's own `PyFuncModel.predict`.

Each model is called in four ways, in turns: as it is, with the data ready in the form it wants; through our predictor; from the
bytes of a request to the bytes of its answer; and through MLflow with the data ready as a DataFrame or an array. The least
CPU time of each is told, since whatever else the machine does only ever adds to it.

    python tests/benchmarks/pyfunc_overhead.py [--rounds 30] [--only logistic]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rig import print_table

from serving.codecs import CODECS, Answer, Wire
from serving.loading.loaders.options import LoadOptions
from serving.loading.loaders.pyfunc import load_pyfunc
from serving.loading.mlmodel import read_mlmodel
from serving.schema import compile_signature

PYTHON_MODEL = """
import mlflow
import pandas as pd


class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"sum": model_input["a"] + model_input["b"]})


mlflow.models.set_model(Model())
"""
_RNG = np.random.default_rng(1)


@dataclass(frozen=True)
class Case:
    """A model as `folder`, the same model in memory as `raw`, and rows that both take."""

    name: str
    folder: Path
    raw: Callable[[Any], Any]
    data: Any

    def body(self) -> bytes:
        """A request with these rows."""
        if isinstance(self.data, np.ndarray):
            return json.dumps({"inputs": self.data.tolist()}).encode()
        return json.dumps({"dataframe_split": self.data.to_dict(orient="split", index=False)}).encode()


def numbers(rows: int) -> pd.DataFrame:
    """Thirty columns of doubles."""
    return pd.DataFrame(_RNG.normal(size=(rows, 30)), columns=[f"column {place}" for place in range(30)])


def mixed(rows: int) -> pd.DataFrame:
    """Doubles, whole numbers, booleans and strings."""
    return pd.DataFrame(
        {
            "amount": _RNG.normal(size=rows),
            "age": _RNG.integers(18, 90, rows),
            "member": _RNG.integers(0, 2, rows).astype(bool),
            "city": _RNG.choice(["bern", "basel", "genf"], rows).astype(object),
        }
    )


def cases(root: Path) -> list[Case]:
    """The models, fitted and saved."""
    import mlflow
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    target = np.arange(300) % 2
    table, matrix, rich = numbers(300), numbers(300).to_numpy(), mixed(300)
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["amount", "age", "member"]))
    fitted = {
        "logistic": (LogisticRegression().fit(matrix, target), matrix),
        "named": (LogisticRegression().fit(table, target), table),
        "forest": (RandomForestClassifier(100, random_state=1).fit(table, target), table),
        "mixed": (make_pipeline(encoder, LogisticRegression()).fit(rich, target), rich),
    }
    for name, (model, given) in fitted.items():
        signature = mlflow.models.infer_signature(given[:5], model.predict(given[:5]))
        mlflow.sklearn.save_model(model, root / name, signature=signature, serialization_format="pickle", pip_requirements=[])
    pair = pd.DataFrame({"a": [1.0], "b": [2.0]})
    source = root / "model.py"
    source.write_text(PYTHON_MODEL, encoding="utf-8")
    signature = mlflow.models.infer_signature(pair)
    mlflow.pyfunc.save_model(root / "code", python_model=str(source), signature=signature, pip_requirements=[])
    return [
        Case("LogisticRegression, array, 1 row", root / "logistic", fitted["logistic"][0].predict, matrix[:1]),
        Case("LogisticRegression, 30 columns, 1 row", root / "named", fitted["named"][0].predict, table[:1]),
        Case("forest of 100 trees, 30 columns, 1 row", root / "forest", fitted["forest"][0].predict, table[:1]),
        Case("forest of 100 trees, 30 columns, 100 rows", root / "forest", fitted["forest"][0].predict, table[:100]),
        Case("pipeline on mixed columns, 1 row", root / "mixed", fitted["mixed"][0].predict, rich[:1]),
        Case("pipeline on mixed columns, 100 rows", root / "mixed", fitted["mixed"][0].predict, rich[:100]),
        Case("PythonModel as code, 2 columns, 1 row", root / "code", lambda f: pd.DataFrame({"sum": f["a"] + f["b"]}), pair),
    ]


def ways(case: Case) -> list[Callable[[], Any]]:
    """The four ways to ask for the same answer."""
    import mlflow

    mlmodel = read_mlmodel(case.folder)
    predictor = load_pyfunc(mlmodel, LoadOptions(allow_pickle=True))
    signature = compile_signature(mlmodel.inputs, mlmodel.outputs, mlmodel.params)
    theirs = mlflow.pyfunc.load_model(str(case.folder))
    codec, wire, said = CODECS["mlflow"], Wire(case.body(), "application/json", {}), Answer("m", "1", "id", 1.0)
    inputs = codec.decode(wire, signature, 1000).inputs

    def whole() -> bytes:
        decoded = codec.decode(wire, signature, 1000)
        outputs = predictor.predict(decoded.inputs)
        signature.check_outputs(outputs, decoded.inputs.rows)
        return codec.encode(outputs, decoded, signature, said).body

    return [
        lambda: case.raw(case.data),
        lambda: predictor.predict(inputs),
        whole,
        lambda: theirs.predict(case.data),
    ]


def least(calls: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Microseconds of each call, the least of all rounds."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for place, call in enumerate(calls):
            start = time.process_time()
            call()
            best[place] = min(best[place], (time.process_time() - start) * 1e6)
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", default="", help="Part of a case's name.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory(prefix="stagedoor-pyfunc-") as root:
        for case in cases(Path(root)):
            if options.only in case.name:
                raw, ours, whole, theirs = least(ways(case), options.rounds)
                told = (f"{value:,.0f}" for value in (raw, ours, whole, theirs, ours - raw, theirs - raw))
                rows.append((case.name, *told))
    columns = ["model", "as it is", "our predictor", "bytes to bytes", "MLflow", "we add", "MLflow adds"]
    print_table("Microseconds of CPU for one prediction, the least of all rounds", columns, rows)


if __name__ == "__main__":
    main()
