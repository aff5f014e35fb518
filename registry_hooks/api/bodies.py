"""Bodies of commands: read strictly, and checked against a schema. No message quotes what was sent."""

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import request
from marshmallow import Schema, ValidationError

from stagedoor.errors import InvalidRequest, MalformedBody, UnsupportedMediaType

MAX_BODY: Final = 64 * 1024
JSON: Final = "application/json"


def body(schema: type[Schema]) -> dict[str, Any]:
    """The members of the body; none for an empty body.

    Raises BodyTooLarge (by the app's limit), UnsupportedMediaType, MalformedBody, and InvalidRequest for members that are
    unknown, missing or of another kind.
    """
    raw = request.get_data()
    found = _parsed(raw) if raw else {}
    if not isinstance(found, dict):
        raise InvalidRequest(f"The body is not a JSON object. {_takes(schema)}")
    try:
        loaded: dict[str, Any] = schema().load(found)
    except ValidationError as error:
        raise InvalidRequest(_complaint(schema, error.messages_dict)) from error
    return loaded


def _parsed(raw: bytes) -> Any:  # noqa: ANN401  JSON
    if request.mimetype != JSON:
        raise UnsupportedMediaType([JSON])
    try:
        return json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBody("is not sound JSON in UTF-8 without duplicate keys and NaN") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _no_constant(_: str) -> None:
    raise ValueError("not a number")


def _takes(schema: type[Schema]) -> str:
    fields = list(schema().fields)
    return f"It takes the members {', '.join(fields)}." if fields else "It takes no members."


def _complaint(schema: type[Schema], messages: Mapping[str, Any]) -> str:
    """What is wrong with the members we know; those that we do not are only said to be there."""
    known = schema().fields
    said = [f"{name}: {_first(what)}" for name, what in messages.items() if name in known]
    if any(name not in known for name in messages):
        said.append("There are members that it does not know.")
    return " ".join([*said, _takes(schema)])


def _first(what: Any) -> str:  # noqa: ANN401  marshmallow nests its messages
    while isinstance(what, list | dict) and what:
        what = what[0] if isinstance(what, list) else next(iter(what.values()))
    return str(what)
