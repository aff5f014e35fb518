"""Requests that people gave: the logged input example, and golden requests among the version's own files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from serving.codecs import CODECS, Wire
from serving.loading.mlmodel import MLModel
from serving.schema import Signature
from serving.values import UNNAMED, Array, Block, Inputs
from stagedoor.errors import StagedoorError

GOLDEN: Final = "golden*.json"
_MAX_BYTES: Final = 64 * 1024 * 1024
_MAX_REQUESTS: Final = 1000


def given_inputs(mlmodel: MLModel, signature: Signature, max_rows: int, extra: list[Path]) -> list[Inputs]:
    """All that fit the signature. Files that cannot be read are the gates' business."""
    bodies = [mlmodel.example.read_bytes()] if mlmodel.example is not None else []
    for path in (*sorted(mlmodel.folder.glob(GOLDEN)), *extra):
        bodies += list(_bodies(path))
    found = []
    for body in bodies:
        try:
            found.append(CODECS["mlflow"].decode(Wire(body, "application/json", {}), signature, max_rows).inputs)
        except StagedoorError:
            continue
    return found


def columns_of(inputs: Inputs) -> dict[str, Array]:
    """The columns of a table, or of the one tensor, by name."""
    if inputs.kind == "table":
        return dict(inputs.arrays)
    matrix = inputs.arrays[UNNAMED]
    return dict(Block(matrix, {str(place): place for place in range(matrix.shape[1])}))


def _bodies(path: Path) -> Iterator[bytes]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return
        items = _items(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    for item in items[:_MAX_REQUESTS]:
        if isinstance(item, dict):
            yield orjson.dumps(item.get("request", item))


def _items(content: bytes) -> list[Any]:
    try:
        whole = json.loads(content)
    except json.JSONDecodeError:
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    return whole if isinstance(whole, list) else [whole]
