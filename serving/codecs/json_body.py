"""JSON bodies, read strictly: UTF-8, no NaN, no duplicate keys, an object at the top."""

import json
from typing import Any, Final

import orjson

from stagedoor.errors import InvalidRequest, MalformedBody

_CONTAINERS: Final = (dict, list)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises MalformedBody where it is no sound JSON, InvalidRequest where it is no object."""
    if not body:
        raise MalformedBody("is empty")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedBody("is not JSON in UTF-8, or it is nested too deeply") from None
    if type(value) is not dict:
        raise InvalidRequest("The body must be a JSON object.")
    # Every key is followed by a colon. With no more colons than keys, no key can have been there twice.
    if _has_more_colons(body, len(value)) and body.count(b":") > _count_keys(value):
        _refuse_duplicates(body)
    return value


def _has_more_colons(body: bytes, number: int) -> bool:
    at = -1
    for _ in range(number + 1):  # to find the few that there are is much quicker than to count in a long body
        at = body.find(b":", at + 1)
        if at < 0:
            return False
    return True


def _count_keys(value: dict[str, Any]) -> int:
    """A lower bound of the keys in `value`: lists are entered only where their first element is a list or an object."""
    count = 0
    pending: list[Any] = [value]
    for item in pending:  # grows while it is read
        parts = item
        if type(item) is dict:
            count += len(item)
            parts = item.values()
        for part in parts:
            kind = type(part)
            if kind is dict or (kind is list and part and type(part[0]) in _CONTAINERS):
                pending.append(part)
    return count


def _refuse_duplicates(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_distinct)
    except RecursionError:
        raise MalformedBody("is nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise MalformedBody("has a key twice in one object")


def refuse_unknown(value: dict[str, Any], known: frozenset[str], where: str) -> None:
    """Raise InvalidRequest if `value` has a key that is not `known`."""
    if not value.keys() <= known:
        raise InvalidRequest(f"{where} has a key that is not one of: {', '.join(sorted(known))}.")
