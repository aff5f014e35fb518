"""What makes two requests the same question: the digest of the version, of who shares answers, and of the data.

The data is what the model would get, so the same data in another protocol, or written another way, asks the same.
"""

import datetime as dt
import marshal
from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import numpy as np

from serving.values import Block, Inputs
from stagedoor.auth import Principal

_MARSHAL: Final = 2
"""The version of marshal's format that writes equal values as equal bytes, whatever objects they share."""

_NUMBERS: Final = "biufcmM"
_OBJECTS: Final = "O"
_SCALARS: Final = frozenset({str, bytes, int, float, bool, type(None)})
_MOMENTS: Final = frozenset({dt.datetime, dt.date})


class Source(NamedTuple):
    """The content that answers. `digest` names the version's files, and the compiled form that runs in their place."""

    model: str
    version: str
    digest: str


class Question(NamedTuple):
    """One input to one content by callers of the same rights; equal questions have equal answers."""

    source: Source
    digest: bytes


def rights_of(principal: Principal) -> str:
    """Who shares answers: callers with the same roles and the same models. A hit tells nobody of what they may not ask."""
    return _rights(principal.roles, principal.models)


@lru_cache(maxsize=4096)
def _rights(roles: frozenset[str], models: tuple[str, ...]) -> str:
    return repr((sorted(roles), sorted(models)))


def question(source: Source, rights: str, inputs: Inputs) -> Question | None:
    """The question that `inputs` asks; None where they hold values of which no two are known to be the same.

    -0.0 and 0.0 ask different questions, and so do columns or tensors in another order: a model may tell them apart.
    """
    arrays = inputs.arrays
    described: list[tuple[str | list[str], str, Any]] = []
    objects: list[Any] = []
    raw: list[bytes] = []
    if type(arrays) is Block:  # isinstance asks the metaclass of all mappings, at half a microsecond
        matrix = arrays.matrix
        kind = _kind(matrix.dtype)
        if kind in {"", _OBJECTS}:
            return None
        described = [(list(arrays.positions), kind, matrix.shape)]
        raw.append(matrix.tobytes())
    else:
        for name, array in arrays.items():
            kind = _kind(array.dtype)
            described.append((name, kind, array.shape))
            if kind == _OBJECTS:
                objects.append(array.tolist())
            elif kind:
                raw.append(array.tobytes())
            else:
                return None
    params = _params(inputs.params)
    if not _is_plain(objects) or not _is_plain(params):
        return None
    # All lengths stand in the head, so nothing can be read in two ways.
    head = marshal.dumps((*source, rights, inputs.kind, inputs.rows, params, described, objects), _MARSHAL)
    return Question(source, sha256(b"".join((head, *raw))).digest())


@lru_cache(maxsize=256)
def _kind(dtype: np.dtype[Any]) -> str:
    """The name of a type, "" for one whose bytes do not say all."""
    return dtype.str if dtype.kind in _NUMBERS else _OBJECTS if dtype.kind == "O" else ""


def _is_plain(value: Collection[object]) -> bool:
    """Whether marshal writes all that is in it, of these very types: of others it would write the bare bytes."""
    pending = [value]
    for item in pending:  # grows while it is read
        parts: Collection[object] = item
        if type(item) is dict:
            if any(type(key) is not str for key in item):
                return False
            parts = item.values()
        kinds = set(map(type, parts)) - _SCALARS
        if not kinds:
            continue
        if not kinds <= {list, tuple, dict}:
            return False
        pending += [part for part in parts if isinstance(part, (list, tuple, dict))]
    return True


def _params(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Inference parameters by name, with dates and times as texts."""
    return [(name, _moment(value) if type(value) in _MOMENTS else value) for name, value in sorted(params.items())]


def _moment(value: dt.date) -> tuple[str, str]:
    return type(value).__name__, value.isoformat()
