"""MLflow's scoring protocol, `POST /invocations`.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#inference-server-specification
"""

from typing import Any, Final

from serving.codecs.frames import read_csv, read_parquet
from serving.codecs.json_body import read_object, refuse_unknown
from serving.codecs.render import dump, jsonable, records
from serving.codecs.wire import JSON, Answer, Decoded, Encoded, Wire, media_type
from serving.schema import Signature
from serving.values import UNNAMED, Inputs, Outputs
from stagedoor.errors import InvalidRequest, SchemaMismatch

_CSV: Final = "text/csv"
_PARQUET: Final = ("application/vnd.apache.parquet", "application/x-parquet")
_ACCEPTED: Final = (JSON, _CSV, *_PARQUET)
_FORMATS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
_NESTED: Final = frozenset(("instances", "inputs"))
_KEYS: Final = frozenset((*_FORMATS, "params"))
_NAME_KINDS: Final[frozenset[type]] = frozenset((str, int))
_SPLIT_KEYS: Final = frozenset(("columns", "index", "data"))


class MlflowScoring:
    """Exactly one of dataframe_split, dataframe_records, instances and inputs, with optional params; or CSV, or Parquet."""

    def decode(self, wire: Wire, signature: Signature, max_rows: int) -> Decoded:
        """Read and check a request; a missing content type is refused, as MLflow does."""
        kind = JSON if wire.content_type == JSON else media_type(wire.content_type, _ACCEPTED)
        if kind == JSON:
            body = read_object(wire.body)
            refuse_unknown(body, _KEYS, "The body")
            return Decoded(signature.with_params(_read(body, signature, max_rows), body.get("params")))
        columns = read_csv(wire.body, signature, max_rows) if kind == _CSV else read_parquet(wire.body, max_rows)
        if not columns:
            raise SchemaMismatch("columns", "at least one column", "none")
        return Decoded(signature.with_params(signature.form.frame(columns, max_rows), None))

    def encode(self, outputs: Outputs, decoded: Decoded, signature: Signature, answer: Answer) -> Encoded:  # noqa: ARG002
        """`{"predictions": ...}`: lists for an array, lists by name for several, records for a table."""
        return Encoded(dump({"predictions": predictions(outputs)}))


def predictions(outputs: Outputs) -> Any:  # noqa: ANN401  a JSON value
    """The model's answer as MLflow's scoring server nests it."""
    if outputs.kind == "array":
        return jsonable(outputs.arrays[UNNAMED])
    if outputs.kind == "named":
        return {name: jsonable(array) for name, array in outputs.arrays.items()}
    return records(outputs.arrays) if outputs.kind == "table" else outputs.value


def _read(body: dict[str, Any], signature: Signature, max_rows: int) -> Inputs:
    found = [name for name in _FORMATS if name in body]
    if len(found) != 1:
        raise InvalidRequest(f"The body must have exactly one of: {', '.join(_FORMATS)}.")
    name = found[0]
    data = body[name]
    if name in _NESTED:
        return signature.form.nested(data, max_rows)
    if name == "dataframe_split":
        return _split(data, signature, max_rows)
    if type(data) is not list:
        raise InvalidRequest("dataframe_records must be a list of objects, one for each row.")
    return signature.form.records(data, max_rows)


def _split(data: object, signature: Signature, max_rows: int) -> Inputs:
    if type(data) is not dict or type(data.get("data")) is not list:
        raise InvalidRequest("dataframe_split must be an object with a list of rows as `data`, and optionally `columns`.")
    refuse_unknown(data, _SPLIT_KEYS, "dataframe_split")
    rows, names, index = data["data"], data.get("columns"), data.get("index")
    if names is not None and (type(names) is not list or not _NAME_KINDS.issuperset(map(type, names))):
        raise InvalidRequest("dataframe_split's `columns` must be a list of names.")
    if index is not None and (type(index) is not list or len(index) != len(rows)):
        raise InvalidRequest("dataframe_split's `index` must be a list as long as `data`.")
    if names and type(names[0]) is int:  # pandas counts columns that have no names
        names = list(map(str, names))
    return signature.form.split(names, rows, max_rows)
