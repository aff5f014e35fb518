"""From a model folder to something that predicts: one loader for each MLflow flavour that is served directly."""

from collections.abc import Callable, Mapping
from typing import Final

from serving.loading.loaders.onnx import load_onnx
from serving.loading.loaders.options import LoadOptions
from serving.loading.loaders.pyfunc import load_pyfunc
from serving.loading.mlmodel import MLModel
from serving.values import Predictor
from stagedoor.errors import UnsupportedFlavor

__all__ = ["LOADERS", "LoadOptions", "Loader", "choose"]

Loader = Callable[[MLModel, LoadOptions], Predictor]

# In order of preference. A loader raises an ArtifactError, or whatever the framework raises on a model it cannot load.
LOADERS: Final[Mapping[str, Loader]] = {
    "onnx": load_onnx,
    "python_function": load_pyfunc,
}


def choose(mlmodel: MLModel) -> tuple[str, Loader]:
    """The first flavour of LOADERS that the model has, and its loader. Raises UnsupportedFlavor."""
    for flavor, loader in LOADERS.items():
        if flavor in mlmodel.flavors:
            return flavor, loader
    have = ", ".join(sorted(str(flavor) for flavor in mlmodel.flavors)) or "none"
    raise UnsupportedFlavor(
        f"The model has the flavors {have}; this gateway loads {' and '.join(LOADERS)}. "
        "Log it with a flavour that adds python_function, or wrap it in a mlflow.pyfunc.PythonModel."
    )
