"""The MLmodel file: what an MLflow model folder says about itself. Read without MLflow."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import yaml
from yaml import YAMLError

from stagedoor.errors import LoadFailed, MissingArtifact, UnsafeArtifact

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

FILE_NAME: Final = "MLmodel"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_STRINGS: Final = 20_000

_SAVE_INSTEAD: Final = {
    ".onnx": "mlflow.onnx.log_model(onnx.load(path), name=...)",
    ".pt": "mlflow.pytorch.log_model(model, name=..., input_example=...)",
    ".pth": "mlflow.pytorch.log_model(model, name=..., input_example=...)",
    ".safetensors": "mlflow.transformers.log_model(...), or as an artifact of a mlflow.pyfunc.PythonModel",
    ".pkl": "the flavour of the library that made it, such as mlflow.sklearn.log_model(model, name=...)",
    ".joblib": "the flavour of the library that made it, such as mlflow.sklearn.log_model(model, name=...)",
    ".keras": "mlflow.tensorflow.log_model(model, name=...)",
}
# Free text of whoever saved the model: where its parts came from. MLflow never opens these from here.
_NOT_PATHS_HERE: Final = frozenset({"uri", "model_code_path", "source_model_name"})
_PATHS: Final = frozenset(
    {
        "artifact_path",
        "code",
        "config",
        "data",
        "model_binary",
        "model_data",
        "model_path",
        "path",
        "pickled_model",
        "python_model",
        "serving_input_path",
    }
)


@dataclass(frozen=True, slots=True)
class MLModel:
    """A model folder and the parsed parts of its MLmodel file.

    `inputs`, `outputs` and `params` are the three JSON lists of the signature, None where it has none. `example` is the
    logged input example as a body of MLflow's scoring protocol, if there is one. `metadata` is what the model was logged with
    under that name.
    """

    folder: Path
    flavors: Mapping[str, Mapping[str, Any]]
    inputs: list[dict[str, Any]] | None = None
    outputs: list[dict[str, Any]] | None = None
    params: list[dict[str, Any]] | None = None
    example: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def file(self, relative: str) -> Path:
        """A file of this model. Raises UnsafeArtifact if it lies elsewhere, MissingArtifact if it does not exist."""
        path = inside(self.folder, relative)
        if not path.exists():
            raise MissingArtifact(
                f"The MLmodel file names {relative}, which is not among the model's files. Log the model again."
            )
        return path


def read_mlmodel(folder: Path) -> MLModel:
    """Read `folder`/MLmodel.

    Raises MissingArtifact without one (with advice on how to log a bare model file), LoadFailed if it cannot be
    understood, UnsafeArtifact if anything in the folder or the file leads out of the folder.
    """
    _refuse_links_out(folder)
    content = _parse(folder)
    flavors = content.get("flavors")
    if not isinstance(flavors, dict) or not all(isinstance(conf, dict) for conf in flavors.values()):
        raise LoadFailed("The MLmodel file lists no flavors. Log the model again with MLflow.")
    example = _mapping(content, "saved_input_example_info")
    for count, (key, text) in enumerate(chain(_strings(flavors), _strings(example))):
        if count > MAX_STRINGS:  # YAML's aliases can make a small file endless
            raise LoadFailed("The MLmodel file says more than any model has to say. Log the model again with MLflow.")
        _refuse_path_out(folder, key, text)
    signature = _mapping(content, "signature")
    return MLModel(
        folder,
        flavors,
        _columns(signature, "inputs"),
        _columns(signature, "outputs"),
        _columns(signature, "params"),
        _example(folder, example),
        _mapping(content, "metadata"),
    )


def inside(folder: Path, relative: str) -> Path:
    """`folder`/`relative`, or UnsafeArtifact if that is not below `folder`."""
    path = folder / relative
    if _looks_outside(relative) or not path.resolve().is_relative_to(folder.resolve()):
        raise UnsafeArtifact("A path in the model leads outside its own folder. Log the model again with files of its own.")
    return path


def _parse(folder: Path) -> dict[str, Any]:
    path = folder / FILE_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LoadFailed("The MLmodel file is larger than 16 MiB. Log the model again with MLflow.")
        content = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  it is the safe loader, in C
    except FileNotFoundError:
        raise MissingArtifact(_advice(folder)) from None
    except (YAMLError, UnicodeDecodeError, RecursionError, IsADirectoryError) as error:
        raise LoadFailed("The MLmodel file is not readable YAML. Log the model again with MLflow.") from error
    if not isinstance(content, dict):
        raise LoadFailed("The MLmodel file is not a mapping. Log the model again with MLflow.")
    return content


def _advice(folder: Path) -> str:
    start = "There is no MLmodel file, so nothing says how to load this version."
    if not folder.is_dir():
        return f"{start} Register a model that was logged with MLflow."
    for path in sorted(folder.rglob("*")):
        instead = _SAVE_INSTEAD.get(path.suffix.lower())
        if instead is not None:
            return f"{start} It holds a bare {path.suffix} file: log it with {instead} and register that."
    return f"{start} Register a model that was logged with MLflow."


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _columns(signature: Mapping[str, Any], key: str) -> list[dict[str, Any]] | None:
    text = signature.get(key)
    if text is None:
        return None
    try:
        columns = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise LoadFailed(f"The signature's {key} are not JSON. Log the model again with a signature.") from error
    if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
        raise LoadFailed(f"The signature's {key} are not a list of columns. Log the model again with a signature.")
    return columns or None


def _example(folder: Path, info: Mapping[str, Any]) -> Path | None:
    name = info.get("serving_input_path")
    path = folder / name if isinstance(name, str) else None
    return path if path is not None and path.is_file() else None


def _strings(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)


def _refuse_path_out(folder: Path, key: str, text: str) -> None:
    if key in _NOT_PATHS_HERE:
        return
    if key in _PATHS:
        inside(folder, text)
    elif ".." in PurePosixPath(text).parts or ".." in PureWindowsPath(text).parts:
        raise UnsafeArtifact(f"The MLmodel file's {key} leads outside the model's own folder. Log the model again.")


def _looks_outside(relative: str) -> bool:
    windows = PureWindowsPath(relative)
    return bool(
        PurePosixPath(relative).is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\0" in relative
    )


def _refuse_links_out(folder: Path) -> None:
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise UnsafeArtifact("A symbolic link among the model's files leads outside its folder. Log the file itself.")
