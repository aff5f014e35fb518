"""What a change of the registry is about, read from its body as MLflow itself reads it. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from stagedoor import names

Fields = Mapping[str, Any]
Kind = Literal["model", "version", "other"]

_NONE: Final[Fields] = MappingProxyType({})
_STAGES: Final = {stage.lower(): stage for stage in names.STAGES}
_DEMANDED: Final = "required"

MODEL_TAGS: Final = (names.TAG_ROUTE, names.TAG_DRILL, names.TAG_APPROVAL)
VERSION_TAGS: Final = (names.TAG_VERDICT, names.TAG_APPROVED)


@dataclass(frozen=True, slots=True)
class Move:
    """`name`, an alias or a stage of `model`, is to mean `version`; None: nothing any more."""

    model: str
    name: str
    version: str | None
    is_alias: bool


def read_fields(body: bytes) -> Fields:
    """The fields of a request's body, as MLflow understands it: a JSON object, or one that is written as a JSON text.

    Nothing for anything else, of which MLflow reads no field either.
    """
    try:
        found = json.loads(body) if body else {}
        if isinstance(found, str):
            found = json.loads(found)
    except (ValueError, RecursionError):
        return _NONE
    return found if isinstance(found, dict) else _NONE


def move_of(method: str, tail: str, fields: Fields) -> Move | None:
    """What moves if MLflow takes this request; None where nothing does."""
    model = fields.get("name")
    if not isinstance(model, str):
        return None
    if tail == "registered-models/alias" and isinstance(alias := fields.get("alias"), str):
        if method == "DELETE":
            return Move(model, alias, None, is_alias=True)
        version = _number(fields.get("version"))
        return Move(model, alias, version, is_alias=True) if method == "POST" and version is not None else None
    if (method, tail) == ("POST", "model-versions/transition-stage"):
        version, stage = _number(fields.get("version")), _STAGES.get(str(fields.get("stage")).lower())
        return Move(model, stage, version, is_alias=False) if stage and version is not None else None
    return None


def kind_of(tail: str) -> Kind:
    """Whose tags a request may change: those of a model, a version, or nobody knows."""
    if tail in {"registered-models/set-tag", "registered-models/delete-tag", "registered-models/create"}:
        return "model"
    known = {"model-versions/set-tag", "model-versions/delete-tag", "model-versions/create"}
    return "version" if tail in known else "other"


def touches_findings(method: str, tail: str, fields: Fields) -> bool:
    """Whether this request would change a tag that only the controller and the guard write.

    To demand approvals is a promoter's right; to do without again is not, or nobody would need a second person.
    """
    kind = kind_of(tail)
    if kind == "other":
        return any(_is_finding("model", text) or _is_finding("version", text) for text in _texts(fields))
    tags = fields.get("tags")
    listed = [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []
    return any(
        isinstance(key := tag.get("key"), str) and _is_finding(kind, key) and not _demands_approval(method, kind, tag)
        for tag in (fields, *listed)
    )


def _is_finding(kind: Kind, key: str) -> bool:
    # Some databases take keys that differ in case or in spaces at the end for the same.
    plain = key.strip().casefold()
    if kind == "model":
        return plain in MODEL_TAGS or plain.startswith(names.TAG_BY_PREFIX)
    return plain in VERSION_TAGS or plain.startswith(names.TAG_GATE_PREFIX)


def _demands_approval(method: str, kind: Kind, tag: Fields) -> bool:
    exact = kind == "model" and tag["key"] == names.TAG_APPROVAL
    return method == "POST" and exact and str(tag.get("value")).strip().lower() == _DEMANDED


def _texts(fields: Fields) -> Iterator[str]:
    """Every text in a JSON value, keys too, however deep it lies."""
    waiting: list[Any] = [fields]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend([*value, *value.values()])


def _number(version: object) -> str | None:
    """A version as MLflow writes it, from what its parser takes for one."""
    try:
        return str(int(version)) if isinstance(version, str) else None
    except ValueError:
        return None
