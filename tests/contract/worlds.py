"""A registry, and what people do to it: in memory, and as a client of a real MLflow server."""

import contextlib
import warnings
from pathlib import Path
from typing import Protocol

from stagedoor.registry.memory import MemoryRegistry
from stagedoor.registry.mlflow_registry import MLflowRegistry
from stagedoor.registry.port import Registry, RegistryWriter

GUARDED = ("twin", "guarded mlflow on PostgreSQL")
"""The worlds that check who moves what and from where; an open MLflow server does neither."""


class Both(Registry, RegistryWriter, Protocol):
    """Reads and writes."""


class World(Protocol):
    registry: Both

    def register(self, name: str, source: Path) -> str: ...
    def run_with(self, metrics: dict[str, float]) -> str: ...
    def set_alias(self, name: str, alias: str, version: str) -> None: ...
    def delete_alias(self, name: str, alias: str) -> None: ...
    def set_tag(self, name: str, key: str, value: str | None) -> None: ...
    def set_stage(self, name: str, version: str, stage: str) -> None: ...
    def delete_version(self, name: str, version: str) -> None: ...
    def delete_model(self, name: str) -> None: ...


class Twin(MemoryRegistry):
    @property
    def registry(self) -> Both:
        return self

    def run_with(self, metrics: dict[str, float]) -> str:
        run = f"run-{len(self.runs)}"
        self.runs[run] = dict(metrics)
        return run


class RealMLflow:
    """MLflow's own client finds address and token in the environment."""

    def __init__(self, url: str, token: str | None) -> None:
        from mlflow import MlflowClient

        self.registry: Both = MLflowRegistry(url, timeout=30, page_size=2, token=lambda: token)
        self._client = MlflowClient(url)

    def register(self, name: str, source: Path) -> str:
        from mlflow.exceptions import RestException

        with contextlib.suppress(RestException):  # it is there already
            self._client.create_registered_model(name)
        run = self._client.create_run("0")
        if any(source.iterdir()):
            self._client.log_artifacts(run.info.run_id, str(source), "model")
        found = self._client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
        return str(found.version)

    def run_with(self, metrics: dict[str, float]) -> str:
        run = str(self._client.create_run("0").info.run_id)
        for step, scale in enumerate((0.0, 1.0)):  # the last value counts
            for key, value in metrics.items():
                self._client.log_metric(run, key, value * scale, step=step)
        return run

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        self._client.delete_registered_model_alias(name, alias)

    def set_tag(self, name: str, key: str, value: str | None) -> None:
        if value is None:
            self._client.delete_registered_model_tag(name, key)
        else:
            self._client.set_registered_model_tag(name, key, value)

    def set_stage(self, name: str, version: str, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stages are deprecated, and still used
            self._client.transition_model_version_stage(name, version, stage)

    def delete_version(self, name: str, version: str) -> None:
        self._client.delete_model_version(name, version)

    def delete_model(self, name: str) -> None:
        self._client.delete_registered_model(name)
