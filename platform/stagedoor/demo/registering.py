"""Putting the recipes into the registry, each once."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import mlflow
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import RestException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from stagedoor.demo.catalog import COMPLETE, RECIPE_TAG
from stagedoor.demo.recipes import RECIPES, Recipe

EXPERIMENT: Final = "stagedoor-demo"

Tell = Callable[[str], None]


def register_all(mlflow_url: str, tell: Tell) -> None:
    """Register each recipe that is not there yet, and set the aliases of models that were not complete before.

    A model once complete is left alone: what people promoted since stays promoted.
    """
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)
    mlflow.set_experiment(EXPERIMENT)
    client = mlflow.MlflowClient()
    for model, recipes in groupby(RECIPES, key=lambda recipe: recipe.model):
        _register_model(client, model, tuple(recipes), tell)


def _register_model(client: mlflow.MlflowClient, model: str, recipes: Sequence[Recipe], tell: Tell) -> None:
    registered = _model(client, model)
    if registered.tags.get(RECIPE_TAG) == COMPLETE:
        tell(f"{model}: already registered")
        return
    known = {version.tags.get(RECIPE_TAG): version for version in client.search_model_versions(f"name='{model}'")}
    for recipe in recipes:
        version = known.get(recipe.name) or _train(client, recipe, tell)
        for alias in recipe.aliases:
            if alias not in registered.aliases:
                client.set_registered_model_alias(model, alias, version.version)
                tell(f"{model}: alias {alias} -> version {version.version}")
    client.set_registered_model_tag(model, RECIPE_TAG, COMPLETE)


def _model(client: mlflow.MlflowClient, name: str) -> RegisteredModel:
    try:
        return client.create_registered_model(name)
    except RestException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
        return client.get_registered_model(name)


def _train(client: mlflow.MlflowClient, recipe: Recipe, tell: Tell) -> ModelVersion:
    start = time.monotonic()
    with mlflow.start_run(run_name=f"{recipe.model} {recipe.name}") as run:
        trained = recipe.make()
        mlflow.log_metrics(trained.metrics, model_id=trained.info.model_id)
        version = client.create_model_version(
            recipe.model,
            trained.info.model_uri,
            run_id=run.info.run_id,
            tags={RECIPE_TAG: recipe.name},
            description=recipe.summary,
            model_id=trained.info.model_id,
        )
    scores = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    tell(f"{recipe.model} {version.version}: {recipe.summary} ({scores}; {time.monotonic() - start:.1f} s)")
    return version
