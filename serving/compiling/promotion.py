"""From a version in the store to its compiled form in the store, by a child process. Imports no library of models."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from serving.loading.loaders.options import LoadOptions
from serving.loading.probe import Errand, run_in_child
from serving.store import Store, folder_of
from stagedoor.errors import ArtifactError, LoadTimeout, OverBudget
from stagedoor.settings import MIB

_ERRAND: Final = Errand("serving.compiling.child", "STAGEDOOR_COMPILE_TIMEOUT_SECONDS", "STAGEDOOR_MEMORY_BUDGET_MIB")
_NEEDED: Final = ("onnx", "skl2onnx")
_TOOLS: Final = (*_NEEDED, "onnxmltools", "onnxruntime", "scikit-learn", "xgboost-cpu", "xgboost", "lightgbm")
_FLAVORS: Final = (b"\n  sklearn:", b"\n  xgboost:", b"\n  lightgbm:")
_RULES: Final = "1"
"""Of this package: what was found by other rules is looked at again."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """`digest` of the compiled form in the store, "" where there is none. `said`: `onnx: evidence` or `no: reason`."""

    digest: str
    said: str


Compiler = Callable[[str, str], Compiled]
"""Compiles the version with this digest, of the model with this name. Raises OSError."""


class _NotMade(Exception):
    """There is no compiled form; the sentence says why."""


def is_candidate(folder: Path) -> bool:
    """Whether it may be worth it: logged with one of the libraries, and not as ONNX. Reads the MLmodel file as bytes only."""
    try:
        with (folder / "MLmodel").open("rb") as file:
            head = b"\n" + file.read(MIB)
    except OSError:
        return False
    return b"\n  onnx:" not in head and any(flavor in head for flavor in _FLAVORS)


def tools() -> str:
    """The converters and libraries by version, "" if there are no converters."""
    found = {name: version for name in _TOOLS if (version := _version_of(name)) is not None}
    if not found.keys() >= set(_NEEDED):
        return ""
    return " ".join((f"rules-{_RULES}", *(f"{name}-{version}" for name, version in found.items())))


def compile_version(  # noqa: PLR0913  all but two are bound once
    digest: str, model: str, *, store: Store, golden: Path, options: LoadOptions, timeout: float
) -> Compiled:
    """Convert, prove equal and put into the store, within `timeout` seconds and `options.budget_bytes`.

    `golden` is the operator's folder of golden requests. Whatever the converters and the model do, this returns; only a disk
    that cannot be written raises OSError.
    """
    asked = [golden / f"{quote(model, safe='')}{suffix}" for suffix in (".json", ".jsonl")]
    files = [str(path.resolve()) for path in asked if path.is_file()]
    source = folder_of(store.root, digest)
    said = ""

    def fill(into: Path) -> None:
        nonlocal said
        into = into.resolve()
        about = {"source": digest, "tools": tools()}
        report = run_in_child(_ERRAND, source, options, timeout, into=str(into), golden=files, **about)
        said = str(report["said"])
        if not report["made"]:
            raise _NotMade(said)

    try:
        return Compiled(store.ingest(fill), said)
    except _NotMade as error:
        return Compiled("", f"no: {error}")
    except LoadTimeout:
        advice = "raise STAGEDOOR_COMPILE_TIMEOUT_SECONDS, or set the tag stagedoor.compile to off"
        return Compiled("", f"no: Converting it and proving it equal took longer than {timeout:g} seconds; {advice}.")
    except OverBudget:
        return Compiled("", "no: Converting it took more memory than STAGEDOOR_MEMORY_BUDGET_MIB allows.")
    except ArtifactError as error:
        return Compiled("", f"no: Converting it did not end well. {error.reason}")


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
