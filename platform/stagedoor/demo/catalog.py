"""What the demo registers, by name. Imports nothing heavy: the command line reads it too."""

from pathlib import Path
from typing import Final, Literal

BREAST_CANCER: Final = "breast-cancer"
DIGITS: Final = "digits"
DIABETES: Final = "diabetes"
IRIS: Final = "iris-explained"

MODELS: Final = (BREAST_CANCER, DIGITS, DIABETES, IRIS)

RECIPE_TAG: Final = "demo.recipe"
"""Version tag that names the recipe a version was made from; on the registered model it says COMPLETE once all is done."""

COMPLETE: Final = "complete"


def example_file(folder: Path, model: str, protocol: Literal["mlflow", "v2", "simple"]) -> Path:
    """Where a request body for `model` lies."""
    return folder / f"{model}.{protocol}.json"
