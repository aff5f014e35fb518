"""The commands of the processes. The planes are named, never imported; pure, but for the webhook key that outlives a run."""

import base64
import os
import secrets
import sys
from pathlib import Path

from stagedoor.local.ports import bind_address, url
from stagedoor.local.process import Spec
from stagedoor.names import ENV_PREFIX
from stagedoor.paths import StatePaths

# Servers put their working folder before everything else on the import path, and the state folder holds a folder `serving`:
# so they work where nothing can be taken for a package.


def mlflow_server(paths: StatePaths, host: str, port: int, *, nudge_urls: tuple[str, ...] = (), webhook_key: str) -> Spec:
    """MLflow on SQLite with local artifacts, guarded by Stagedoor's tokens."""
    database = paths.mlflow / "mlflow.db"
    command = (
        *(sys.executable, "-P", "-m", "mlflow", "server", "--app-name", "stagedoor"),
        *("--backend-store-uri", f"sqlite:///{database}"),
        *("--artifacts-destination", str(paths.mlflow / "artifacts"), "--serve-artifacts"),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--uvicorn-opts", "--log-level warning"),  # else the resolver's poll fills the log
    )
    environment = {
        **_common(paths),
        # Its job runner and eight consumers serve features that are not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Webhooks go to this very machine; with a new key after each start MLflow could not read those it stored.
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": webhook_key,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if nudge_urls:
        environment[f"{ENV_PREFIX}NUDGE_URLS"] = ",".join(nudge_urls)
    return Spec("mlflow", command, paths.mlflow, paths.logs / "mlflow.log", environment, f"{url(host, port)}/health")


def resolver(paths: StatePaths, mlflow_url: str, follow: str = "aliases") -> Spec:
    """The one process of a machine that reads the registry. `follow` is a value of the setting of that name."""
    command = (sys.executable, "-P", "-m", "serving.resolver")
    environment = {**_common(paths), f"{ENV_PREFIX}MLFLOW_URL": mlflow_url, f"{ENV_PREFIX}FOLLOW": follow}
    return Spec("resolver", command, paths.logs, paths.logs / "resolver.log", environment)


def gateway(  # noqa: PLR0913  one argument a fact
    paths: StatePaths,
    mlflow_url: str,
    host: str,
    port: int,
    workers: int,
    *,
    follow: str = "aliases",
    controller_url: str | None = None,
) -> Spec:
    """The gateway under gunicorn; its configuration lies in the package."""
    command = (
        *(sys.executable, "-P", "-m", "gunicorn", "--config", "python:serving.gunicorn_conf"),
        *("--bind", bind_address(host, port), "--workers", str(workers), "--graceful-timeout", "10", "serving.asgi:app"),
    )
    environment = {**_common(paths), f"{ENV_PREFIX}MLFLOW_URL": mlflow_url, f"{ENV_PREFIX}FOLLOW": follow}
    if controller_url:
        environment[f"{ENV_PREFIX}CONTROLLER_URL"] = controller_url
    ready = f"{url(host, port)}/readyz"
    return Spec("gateway", command, paths.logs, paths.logs / "gateway.log", environment, ready, grace_seconds=15.0)


def controller(  # noqa: PLR0913  one argument a fact
    paths: StatePaths,
    mlflow_url: str,
    gateways: tuple[str, ...],
    host: str,
    port: int,
    *,
    secret: str,
    rollout: str | None = None,
) -> Spec:
    """The controller with its REST. `secret` signs MLflow's webhooks to it, `rollout` is for models that name none."""
    command = (
        *(sys.executable, "-P", "-m", "gunicorn", "--config", "python:registry_hooks.gunicorn_conf"),
        *("--bind", bind_address(host, port), "registry_hooks.wsgi:app"),
    )
    address = url(host, port)
    environment = {
        **_common(paths),
        f"{ENV_PREFIX}MLFLOW_URL": mlflow_url,
        f"{ENV_PREFIX}GATEWAYS": ",".join(gateways),
        f"{ENV_PREFIX}CONTROLLER_URL": address,
        f"{ENV_PREFIX}WEBHOOK_URL": f"{address}/webhooks/mlflow",
        f"{ENV_PREFIX}WEBHOOK_SECRET": secret,
    }
    if rollout is not None:
        environment[f"{ENV_PREFIX}ROLLOUT"] = rollout
    log = paths.logs / "controller.log"
    return Spec("controller", command, paths.logs, log, environment, f"{address}/livez", grace_seconds=12.0)


def demo(paths: StatePaths, mlflow_url: str, token: str, examples: Path) -> Spec:
    """Trains and registers the demo's models; says what it does on standard output, a line each."""
    command = (sys.executable, "-P", "-m", "stagedoor.demo", "--mlflow", mlflow_url, "--examples", str(examples))
    environment = {
        **_common(paths),
        "MLFLOW_TRACKING_TOKEN": token,
        # Set, they would take the token's place.
        "MLFLOW_TRACKING_USERNAME": "",
        "MLFLOW_TRACKING_PASSWORD": "",
    }
    return Spec("demo", command, paths.root / "demo", paths.logs / "demo.log", environment)


def webhook_key(paths: StatePaths) -> str:
    """The key (Fernet's form) with which MLflow encrypts the secrets of webhooks; made once, readable by its owner alone."""
    return _kept(paths.mlflow / "webhook.key")


def webhook_secret(paths: StatePaths) -> str:
    """The secret with which MLflow signs webhooks to the controller; made once, readable by its owner alone."""
    return _kept(paths.control / "webhook.secret")


def _kept(path: Path) -> str:
    """32 random bytes in base64, the same ever after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key)
    return key


def _common(paths: StatePaths) -> dict[str, str]:
    return {f"{ENV_PREFIX}STATE_DIR": str(paths.root), "PYTHONUNBUFFERED": "1"}
