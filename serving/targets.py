"""Predict paths: which protocol, and which model. The one place that reads them, for the lane and for Flask alike."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

from stagedoor.domain.refs import ModelRef, check_name, check_version
from stagedoor.errors import InvalidRequest, MalformedName

INVOCATIONS: Final = "/invocations"
_MODELS: Final = "/models/"
_V2: Final = "/v2/models/"
_INFER: Final = "/infer"
SIMPLE: Final = "/predict"


@dataclass(frozen=True, slots=True)
class Target:
    """What a predict path asks for. `codec` is a key of CODECS."""

    codec: str
    ref: ModelRef

    @property
    def is_open_inference(self) -> bool:
        """Whether errors carry that protocol's `error` member as well."""
        return self.codec == "v2"


def is_predict_path(path: str) -> bool:
    """Whether a POST to `path` (as sent) is a prediction, well-named or not."""
    if path == SIMPLE:
        return True
    if path.endswith(INVOCATIONS):
        return path.startswith(_MODELS)
    return path.endswith(_INFER) and path.startswith(_V2)


@lru_cache(maxsize=4096)
def parse_target(path: str, query: str, default_model: str | None) -> Target:
    """Read a predict path as sent (percent-encoded). Raises MalformedName, and InvalidRequest where no model is named."""
    if path == SIMPLE:
        return Target("simple", simple_ref(query, default_model))
    if path.endswith(INVOCATIONS):
        return Target("mlflow", parse_ref(path[len(_MODELS) : -len(INVOCATIONS)]))
    return Target("v2", parse_open_inference_ref(path[len(_V2) : -len(_INFER)]))


def parse_ref(text: str) -> ModelRef:
    """Read `fraud`, `fraud@alias`, `fraud/7` or `fraud/Stage` as they stand in a path. Raises MalformedName."""
    return ModelRef.parse("/".join(_decoded(part) for part in text.split("/")))


def parse_open_inference_ref(text: str) -> ModelRef:
    """Read `fraud` or `fraud/versions/7` as the Open Inference Protocol writes them. Raises MalformedName."""
    parts = [_decoded(part) for part in text.split("/")]
    if len(parts) == 1:
        return ModelRef.parse(parts[0])
    if len(parts) == 3 and parts[1] == "versions":  # noqa: PLR2004  name, the word, number
        return ModelRef(check_name(parts[0]), version=check_version(parts[2]))
    raise MalformedName("path", "write /v2/models/NAME/infer or /v2/models/NAME/versions/N/infer")


def simple_ref(query: str, default_model: str | None) -> ModelRef:
    """The model of the simple API: `?model=`, else the default. Raises InvalidRequest and MalformedName."""
    named = parse_qs(query, keep_blank_values=True, max_num_fields=20).get("model", []) if query else []
    if len(named) > 1:
        raise InvalidRequest("The query names `model` more than once; name one.")
    text = named[0] if named else default_model
    if text is None:
        raise InvalidRequest("Say which model with ?model=NAME; no default model is set (STAGEDOOR_DEFAULT_MODEL).")
    return ModelRef.parse(text)


def _decoded(part: str) -> str:
    """Percent-decode one segment once. A slash that comes out of it is part of no name."""
    if "%" not in part:
        return part
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise MalformedName("path", "percent-encoded names are UTF-8") from error
    if "/" in text or "%" in text:
        raise MalformedName("path", "a name holds no slash and no percent sign")
    return text
