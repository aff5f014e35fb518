"""Models as MLflow and as the gateway load them, and one body answered by both."""

import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from serving.codecs import CODECS, Answer, Wire
from serving.loading.loaders.options import LoadOptions
from serving.loading.version import Version, load_version

from .models import FEATURES, WRITERS, data, save

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
OPTIONS = LoadOptions(allow_pickle=True)

Models = Callable[[str], tuple[Any, Version]]
"""The model of a name as MLflow loads it, and as the gateway does. Each is made when it is first asked for."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    known: dict[str, tuple[Any, Version]] = {}

    def get(name: str) -> tuple[Any, Version]:
        import mlflow

        if name not in known:
            path = save(folder / name.replace(" ", "-").replace(",", ""), WRITERS[name])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                known[name] = mlflow.pyfunc.load_model(str(path)), load_version(path, "m", "1", "0" * 64, OPTIONS)
        return known[name]

    return get


def ours(version: Version, codec: str, body: bytes, content_type: str = JSON) -> dict[str, Any]:
    protocol = CODECS[codec]
    decoded = protocol.decode(Wire(body, content_type, {}), version.signature, 1000)
    outputs = version.predictor.predict(decoded.inputs)
    version.signature.check_outputs(outputs, decoded.inputs.rows)
    encoded = protocol.encode(outputs, decoded, version.signature, Answer("m", "1", "id", 1.0))
    answer: dict[str, Any] = json.loads(encoded.body)
    return answer


def theirs(model: Any, body: bytes, content_type: str = JSON) -> Any:
    from mlflow.pyfunc.scoring_server import invocations

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = invocations(body, content_type, model, model.metadata.get_input_schema())
    assert answer.status == 200
    return json.loads(answer.response)["predictions"]


def assert_same(mine: Any, reference: Any) -> None:
    """Labels and text to the last bit, floats to 1e-6."""
    if isinstance(reference, float):
        assert isinstance(mine, float)
        assert mine == pytest.approx(reference, rel=1e-6, abs=1e-6)
    elif isinstance(reference, dict):
        assert list(mine) == list(reference)
        for name, value in reference.items():
            assert_same(mine[name], value)
    elif isinstance(reference, list):
        assert len(mine) == len(reference)
        for one, other in zip(mine, reference, strict=True):
            assert_same(one, other)
    else:
        assert mine == reference
        assert type(mine) is type(reference)


ROWS = data(3, 7)
LISTS = ROWS.to_numpy().tolist()
RECORDS = ROWS.to_dict(orient="records")
SPLIT = {"dataframe_split": {"columns": FEATURES, "data": LISTS}}


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


FILES = [(CSV, ROWS.to_csv(index=False).encode()), (PARQUET, parquet(ROWS))]
