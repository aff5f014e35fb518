"""From a model folder to something that predicts: one loader for each MLflow flavour that is served directly.

A loader's libraries are imported with the first model that needs them, in the process that loads it, or before it was forked
(`serving.before_fork`), and never by those that only route.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from serving.loading.loaders.options import LoadOptions
from serving.loading.mlmodel import MLModel
from serving.values import Predictor
from stagedoor import names
from stagedoor.errors import UnsupportedFlavor

__all__ = ["LOADERS", "LoadOptions", "Loader", "choose", "tame"]

Loader = Callable[[MLModel, LoadOptions], Predictor]

_DEFAULTS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # one of Arrow's own costs each worker 3 MB for a few strings of a frame
}


def tame() -> None:
    """Let no library report to its makers or take memory ahead, unless the environment says so: read while each is imported."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def _late(module: str, function: str) -> Loader:
    def load(mlmodel: MLModel, options: LoadOptions) -> Predictor:
        tame()
        loader = cast("Loader", getattr(import_module(f"{__name__}.{module}"), function))
        return loader(mlmodel, options)

    return load


# In order of preference. A loader raises an ArtifactError, or whatever the framework raises on a model it cannot load.
LOADERS: Final[Mapping[str, Loader]] = {
    names.FLAVOR_COMPILED: _late("compiled", "load_compiled"),
    "onnx": _late("onnx", "load_onnx"),
    "python_function": _late("pyfunc", "load_pyfunc"),
}


def choose(mlmodel: MLModel) -> tuple[str, Loader]:
    """The first flavour of LOADERS that the model has, and its loader. Raises UnsupportedFlavor."""
    for flavor, loader in LOADERS.items():
        if flavor in mlmodel.flavors:
            return flavor, loader
    have = ", ".join(sorted(str(flavor) for flavor in mlmodel.flavors)) or "none"
    loaded = " and ".join(flavor for flavor in LOADERS if flavor != names.FLAVOR_COMPILED)
    raise UnsupportedFlavor(
        f"The model has the flavors {have}; this gateway loads {loaded}. "
        "Log it with a flavour that adds python_function, or wrap it in a mlflow.pyfunc.PythonModel."
    )
