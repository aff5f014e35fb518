"""What is to be converted: the library's own model, what it is fed, and which of its answers counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serving.compiling.grown import class_name
from serving.loading.loaders import LoadOptions
from serving.loading.loaders.pyfunc import open_pyfunc
from serving.loading.mlmodel import MLModel
from serving.loading.version import Version, load_version
from serving.values import UNNAMED

FLAVORS: Final = ("sklearn", "xgboost", "lightgbm")
NUMBERS: Final = frozenset({"boolean", "integer", "long", "float", "double"})
TEXT: Final = "string"
_TENSOR_KINDS: Final = {"float32": "float", "float64": "double", "int32": "integer", "int64": "long"}
_ANSWERS: Final = {"predict": 0, "predict_proba": 1}


class Unsuited(Exception):
    """It is not compiled; the sentence says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded version and its parts.

    `raw` is the library's model. `columns` maps each input column to MLflow's name of its type, in order; a tensor of width
    k has the columns "0" to "k-1", and `tensor` is set. `by_column`: the graph takes each column by itself. `output` is the
    place of the answer among the graph's outputs.
    """

    mlmodel: MLModel
    version: Version
    raw: Any
    columns: Mapping[str, str]
    tensor: bool
    by_column: bool
    output: int


def read_subject(mlmodel: MLModel, options: LoadOptions) -> Subject:
    """Load the version both as the gateway would and as its library knows it.

    Raises Unsuited, an ArtifactError where it cannot be loaded, or anything else the library raises.
    """
    flavor = next((flavor for flavor in FLAVORS if flavor in mlmodel.flavors), None)
    if flavor is None:
        raise Unsuited(f"Only models logged with {', '.join(FLAVORS)} are compiled.")
    function = str(mlmodel.flavors.get("python_function", {}).get("predict_fn", "predict"))
    if function not in _ANSWERS:
        raise Unsuited(f"It answers by {function}; log it with pyfunc_predict_fn predict or predict_proba.")
    if mlmodel.params:
        raise Unsuited("Its signature has params, which a graph cannot follow; log it without them.")
    columns, tensor = _columns(mlmodel.inputs)
    version = load_version(mlmodel.folder, "", "", "", options)
    # Loaded once more: converters write to the model they are given, and what its graph is compared with must not change.
    raw = open_pyfunc(mlmodel, options).get_raw_model()
    if "sklearn" not in class_name(raw) and not hasattr(raw, "get_params"):
        raise Unsuited("It is a bare Booster; log the library's scikit-learn estimator, such as XGBClassifier.")
    selects = any(class_name(part) == _SELECTOR for part in _steps(raw))
    by_column = not tensor and (selects or not NUMBERS.issuperset(columns.values()))
    return Subject(mlmodel, version, raw, columns, tensor, by_column, _ANSWERS[function])


_SELECTOR: Final = "sklearn.compose._column_transformer.ColumnTransformer"


def _columns(inputs: list[dict[str, Any]] | None) -> tuple[dict[str, str], bool]:
    if not inputs:
        raise Unsuited("It has no signature, so nothing says what it takes; log it with one (mlflow.models.infer_signature).")
    if inputs[0].get("type") == "tensor":
        spec = inputs[0].get("tensor-spec", {})
        kind = _TENSOR_KINDS.get(str(spec.get("dtype")))
        shape = spec.get("shape", ())
        if len(inputs) > 1 or kind is None or len(shape) != 2 or shape[0] != -1 or shape[1] < 1:  # noqa: PLR2004  a matrix
            raise Unsuited("Its signature is not one tensor [-1, n] of numbers, or columns; log it with such a signature.")
        return dict.fromkeys(map(str, range(shape[1])), kind), True
    columns = {str(column.get("name", place)): str(column.get("type")) for place, column in enumerate(inputs)}
    if len(columns) == 1 and inputs[0].get("name") is None:
        columns = {UNNAMED: str(inputs[0].get("type"))}
    strange = sorted(set(columns.values()) - NUMBERS - {TEXT})
    if strange:
        raise Unsuited(f"Its signature has columns of the type {strange[0]}; only numbers, booleans and strings are compiled.")
    return columns, False


def _steps(raw: Any) -> list[Any]:  # noqa: ANN401  a fitted estimator
    return [raw, *(step for _, step in getattr(raw, "steps", ()))]
