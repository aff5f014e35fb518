"""A request body that a model takes: a file, the demo's example, or zeros in the form that the model asks for."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from stagedoor.cli.asking import Service
from stagedoor.demo.catalog import example_file
from stagedoor.paths import StatePaths

_TEXT: Final = "BYTES"
_BOOL: Final = "BOOL"
Json = dict[str, Any]


def find_body(gateway: Service, model: str, file: Path | None, paths: StatePaths) -> bytes:
    """The body for `/models/<model>/invocations`. Raises click.ClickException for a file that cannot be read."""
    example = example_file(paths.root / "examples", model, "mlflow")
    try:
        if file is not None or example.is_file():
            return (file or example).read_bytes()
    except OSError as error:
        raise click.ClickException("The file given with --body cannot be read.") from error
    described: Json = gateway.get(f"/models/{quote(model, safe='')}")
    return json.dumps(zeros(described["inputs"])).encode()


def zeros(inputs: list[Json]) -> Json:
    """One row of nothing in the form of these inputs: columns as a table, tensors by name, a nameless one by itself."""
    if all(spec["shape"] == [-1] and spec["name"] for spec in inputs):
        row = [_zero(spec["datatype"]) for spec in inputs]
        return {"dataframe_split": {"columns": [spec["name"] for spec in inputs], "data": [row]}}
    if len(inputs) == 1 and not inputs[0]["name"]:
        return {"inputs": _filled(inputs[0])}
    return {"inputs": {spec["name"]: _filled(spec) for spec in inputs}}


def _filled(spec: Json) -> Any:  # noqa: ANN401  nested lists
    value: Any = _zero(spec["datatype"])
    for size in reversed(spec["shape"]):
        value = [value] * max(1, size)
    return value


def _zero(datatype: str) -> Any:  # noqa: ANN401  JSON
    if datatype == _TEXT:
        return ""
    if datatype == _BOOL:
        return False
    return 0.0 if datatype.startswith("FP") else 0
