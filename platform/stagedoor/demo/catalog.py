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

COMPLETE: Final = "complete 2"
"""Grows with the recipes, so that a state folder of before gets what is new."""

LOGARITHMS: Final = "log-onnx"
"""The recipe of the third act's version: it passes the gates and fails on rows that have a zero."""

ROLLOUT: Final = "canary steps=10,50 interval=3s outcomes=20 delta=5 delta_latency=5"
"""Strategy of models that name none, in `up --demo`: decided within a minute at fifty requests a second.

The generous deltas, 5 points where 0.5 and 1 are usual, are what makes it so quick.
"""


def example_file(folder: Path, model: str, protocol: Literal["mlflow", "v2", "simple"]) -> Path:
    """Where a request body for `model` lies."""
    return folder / f"{model}.{protocol}.json"


def rows_file(folder: Path) -> Path:
    """Where the real rows of breast-cancer lie, for the traffic of the third act."""
    return folder / f"{BREAST_CANCER}.rows.json"
