"""`mlflow deployments run-local`: one model on the spot, served as a gateway would serve it, until Ctrl-C."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import click
import requests
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from stagedoor import names
from stagedoor.auth import issue_token
from stagedoor.domain.refs import ModelRef, check_name
from stagedoor.errors import ConfigurationError, MalformedName
from stagedoor.local import specs
from stagedoor.local.house import House, Stopped
from stagedoor.local.ports import PortWish, claim, url
from stagedoor.local.process import Spec
from stagedoor.mlflow_deployments.failure import INVALID_STATE, RESOURCE_DOES_NOT_EXIST, DeploymentFailed
from stagedoor.mlflow_deployments.one_model import OneModel
from stagedoor.mlflow_deployments.versions import PREFIX
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings, load_settings

LIVE_SECONDS: Final = 120.0
TOKEN_SECONDS: Final = 24 * 3600
HOST: Final = "127.0.0.1"
FOLLOW: Final = "aliases"
_OPTIONS: Final = ("port", "workers")


@dataclass(frozen=True, slots=True)
class _Wish:
    port: int = 8000
    workers: int = 1

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        unknown = sorted(set(config) - set(_OPTIONS))
        if unknown:
            raise DeploymentFailed(f"There is no option {', '.join(unknown)} here. There are {', '.join(_OPTIONS)}.")
        try:
            wish = cls(**{key: int(value) for key, value in config.items()})
        except ValueError as error:
            raise DeploymentFailed("port and workers are whole numbers.") from error
        if not 0 <= wish.port <= 65535 or not 1 <= wish.workers <= 64:  # noqa: PLR2004  what there is
            raise DeploymentFailed("port lies between 0 (any free one) and 65535, workers between 1 and 64.")
        return wish


def run_local(name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """Serve the model at `model_uri` (any that MLflow can fetch) as `name` until Ctrl-C or SIGTERM.

    Prints the address and a token. It is loaded as a gateway loads it: what is refused there is refused here, and why. Raises
    DeploymentFailed. Nothing stays behind.
    """
    if flavor is not None:
        raise DeploymentFailed("Stagedoor chooses the loader by the model's own flavours. Leave --flavor out.")
    wish = _Wish.of(config or {})
    try:
        check_name(name)
        with tempfile.TemporaryDirectory(prefix="stagedoor-") as folder, _stop_event() as stop:
            _serve(name, model_uri, wish, Path(folder), stop)
    except Stopped:
        return
    except (ConfigurationError, MalformedName) as error:
        raise DeploymentFailed(str(error), INVALID_STATE) from error


def _serve(name: str, model_uri: str, wish: _Wish, folder: Path, stop: threading.Event) -> None:
    files = _fetch(model_uri, folder)
    (port,) = claim(HOST, [PortWish("the gateway", wish.port, "-C port=")])
    paths = StatePaths(folder / "state")
    # Settings of the environment that speak of another registry, or of a controller, are not meant for this one model.
    settings = load_settings(state_dir=paths.root, follow=FOLLOW, models=("*",), metrics_need_token=False)
    token = _token(settings)
    address = url(HOST, port)
    with OneModel(name, _version(model_uri), files) as registry, House(stop, _tell) as house:
        house.start(_plain(specs.resolver(paths, registry.url, follow=FOLLOW)))
        house.start(_plain(specs.gateway(paths, registry.url, HOST, port, wish.workers, follow=FOLLOW)))
        house.wait_ready()
        _wait_live(address, name, token, wish.workers, stop)
        click.echo(_welcome(f"{address}/models/{quote(name, safe='')}/invocations", token))
        house.run()


def _fetch(model_uri: str, folder: Path) -> Path:
    target = folder / "model"
    target.mkdir()
    _tell("Fetching the model ...")
    try:
        return Path(download_artifacts(artifact_uri=model_uri, dst_path=str(target)))
    except (MlflowException, OSError) as error:
        told = error.message if isinstance(error, MlflowException) else "Its files cannot be read."
        raise DeploymentFailed(f"The model cannot be fetched. {told}", RESOURCE_DOES_NOT_EXIST) from error


def _version(model_uri: str) -> str:
    """The number in `models:/fraud/8`; 1 where there is none."""
    try:
        return ModelRef.parse(model_uri.removeprefix(PREFIX)).version or "1"
    except MalformedName:
        return "1"


def _token(settings: Settings) -> str:
    return issue_token(
        settings,
        subject="run-local",
        roles=(names.ROLE_TESTER, names.ROLE_VIEWER),
        lifetime_seconds=TOKEN_SECONDS,
        now=time.time(),
    )


def _plain(spec: Spec) -> Spec:
    return replace(spec, environment={**spec.environment, f"{names.ENV_PREFIX}MODELS": "*"})


def _wait_live(address: str, name: str, token: str, workers: int, stop: threading.Event) -> None:
    """Until every worker has loaded it. Raises DeploymentFailed with the reason if it is refused."""
    end = time.monotonic() + LIVE_SECONDS
    while not _live(address, name, token, workers):
        if time.monotonic() > end:
            raise DeploymentFailed(f"The model was not loaded within {LIVE_SECONDS:g} seconds.", INVALID_STATE)
        if stop.wait(0.2):
            raise Stopped


def _live(address: str, name: str, token: str, workers: int) -> bool:
    try:
        answer = requests.get(f"{address}/status", headers={"Authorization": f"Bearer {token}"}, timeout=5)
        status = answer.json()
        found = next((model for model in status["models"] if model["name"] == name), None)
        current = [worker for worker in status["workers"] if worker.get("serial") == status["serial"]]
        refused = [entry["reason"] for entry in (found or {"versions": ()})["versions"] if entry["state"] == "refused"]
    except (requests.RequestException, KeyError, TypeError):
        return False
    if refused:
        raise DeploymentFailed("The model cannot be served. " + " ".join(map(str, refused)), INVALID_STATE)
    return found is not None and bool(found["live"]) and len(current) >= workers


def _welcome(address: str, token: str) -> str:
    return (
        f"Serving. Ctrl-C ends it.\n\n  {address}\n\n  token, good for a day:\n  {token}\n\n"
        f"  curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n"
        f"       -d '{{\"inputs\": ...}}' {address}"
    )


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)


@contextmanager
def _stop_event() -> Iterator[threading.Event]:
    """Set by Ctrl-C, SIGTERM or a closed terminal. Outside of the main thread nobody can set it: KeyboardInterrupt ends it."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
