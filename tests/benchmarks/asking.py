"""What people ask of a running system: registrations, aliases and tags of MLflow, and readings of them."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from rig import OpenLoop, System, raw_request, wait_for
from small_versions import BODIES, Files

from stagedoor.auth import issue_token
from stagedoor.settings import Settings

CHAMPION = "champion"
LIFETIME_SECONDS = 4 * 3600


class Asker:
    """One person at one system, with a session of their own: not for several threads."""

    def __init__(self, system: System, settings: Settings, subject: str = "alice", role: str = "promoter") -> None:
        self.system, self.subject = system, subject
        token = token_of(settings, subject, role)
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def mlflow(self, method: str, path: str, **what: Any) -> Any:
        """An answer of MLflow's REST. Raises requests.HTTPError for a refusal."""
        answer = self._session.request(method, f"{self.system.mlflow}/api/2.0/{path}", timeout=30, **what)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def register(self, name: str, files: Files) -> str:
        """Log these files as a model and register it; gives the version."""
        run = self.mlflow("POST", "mlflow/runs/create", json={"experiment_id": "0"})["run"]["info"]
        place = run["artifact_uri"].removeprefix("mlflow-artifacts:").lstrip("/")
        for path, body in files.items():
            self.mlflow("PUT", f"mlflow-artifacts/artifacts/{place}/model/{path}", data=body)
        with contextlib.suppress(requests.HTTPError):  # it exists
            self.mlflow("POST", "mlflow/registered-models/create", json={"name": name})
        made = {"name": name, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
        return str(self.mlflow("POST", "mlflow/model-versions/create", json=made)["model_version"]["version"])

    def point(self, name: str, version: str, alias: str = CHAMPION) -> None:
        """Move an alias, as MLflow's UI does."""
        self.mlflow("POST", "mlflow/registered-models/alias", json={"name": name, "alias": alias, "version": version})

    def tag(self, name: str, key: str, value: str) -> None:
        """Tag a model."""
        self.mlflow("POST", "mlflow/registered-models/set-tag", json={"name": name, "key": key, "value": value})

    def champion(self, name: str) -> str | None:
        """The version that the alias names."""
        model = self.mlflow("GET", "mlflow/registered-models/get", params={"name": name})["registered_model"]
        return next((str(one["version"]) for one in model.get("aliases", ()) if one["alias"] == CHAMPION), None)

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        """A version's tags."""
        found = self.mlflow("GET", "mlflow/model-versions/get", params={"name": name, "version": version})
        return {tag["key"]: tag["value"] for tag in found["model_version"].get("tags", ())}

    def promote(self, controller: str, name: str, version: str) -> int:
        """Ask a controller; gives the status, 0 where no answer came."""
        try:
            where = f"{controller}/v1/models/{name}/promote"
            return self._session.post(where, json={"version": version}, timeout=10).status_code
        except requests.RequestException:
            return 0

    def history(self, name: str) -> list[dict[str, Any]]:
        """What was decided, the oldest first."""
        where = f"{self.system.controller}/v1/models/{name}/history?limit=1000"
        answer = self._session.get(where, timeout=30)
        answer.raise_for_status()
        return list(reversed(answer.json()["entries"]))

    def make_live(self, name: str, files: Files, strategy: str) -> None:
        """A new model whose version 1 serves everywhere."""
        version = self.register(name, files)
        self.tag(name, "stagedoor.rollout", strategy)
        self.point(name, version)
        wait_for(lambda: serves(self.system, name, version), 180, f"{name} to be live")


def token_of(settings: Settings, subject: str, role: str) -> str:
    """A bearer token for all models."""
    return issue_token(
        settings, subject=subject, roles=(role,), models=("*",), lifetime_seconds=LIFETIME_SECONDS, now=time.time()
    )


def settings_of(state: Path, **more: Any) -> Settings:
    """Settings that sign as the system in this state folder does."""
    return Settings(state_dir=state, **more)


def serves(system: System, name: str, version: str) -> bool:
    """Whether every worker routes the model to that version alone."""
    workers = system.workers()
    return bool(workers) and all(worker["models"].get(name, {}).get("route") == [version] for worker in workers)


def load_on(system: System, settings: Settings, names: tuple[str, ...], per_second: float) -> OpenLoop:
    """Open-loop requests for these models in turn; half of them have a negative number."""
    where = urlsplit(system.gateway)
    token = token_of(settings, "app", "predictor")
    requests_ = tuple(
        raw_request(f"/models/{name}/invocations", body, token, where.netloc) for body in BODIES for name in names
    )
    return OpenLoop(str(where.hostname), int(where.port or 0), requests_, per_second)
