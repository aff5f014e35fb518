"""A quick look at whether the demo is already there, without the seconds that importing MLflow takes."""

from collections.abc import Sequence
from pathlib import Path

import requests

from stagedoor.demo.catalog import COMPLETE, RECIPE_TAG, example_file, rows_file


def is_standing(mlflow_url: str, token: str | None, models: Sequence[str], examples: Path | None) -> bool:
    """Whether each model is completely registered and its examples lie in `examples`. In doubt: no."""
    if examples is not None and not all(file.is_file() for file in _files(examples, models)):
        return False
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with requests.Session() as session:
        session.headers.update(headers)
        return all(_is_complete(session, mlflow_url, model) for model in models)


def _files(examples: Path, models: Sequence[str]) -> tuple[Path, ...]:
    return (*(example_file(examples, model, "v2") for model in models), rows_file(examples))


def _is_complete(session: requests.Session, mlflow_url: str, model: str) -> bool:
    try:
        answer = session.get(f"{mlflow_url}/api/2.0/mlflow/registered-models/get", params={"name": model}, timeout=10)
        tags = answer.json()["registered_model"].get("tags", [])
    except (requests.RequestException, KeyError, TypeError, AttributeError):
        return False
    return {"key": RECIPE_TAG, "value": COMPLETE} in tags
