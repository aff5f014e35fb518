"""`mlflow server --app-name stagedoor`: the MLflow server behind bearer tokens and a sign-in page."""

import os
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from stagedoor.errors import ConfigurationError


def create_app() -> "ASGIApp":
    """Build the guarded server; uvicorn calls it in each of its workers. Ends the server if the settings cannot be used.

    The launcher imports this module only to see that this is a function, so that everything heavy is imported in here.
    """
    from stagedoor.auth import build_authenticator  # noqa: PLC0415
    from stagedoor.errors import ConfigurationError  # noqa: PLC0415
    from stagedoor.mlflow_app.guard import Guard  # noqa: PLC0415
    from stagedoor.mlflow_app.nudges import Nudger  # noqa: PLC0415
    from stagedoor.settings import load_settings  # noqa: PLC0415
    from stagedoor.telemetry import configure_logging  # noqa: PLC0415

    configure_logging("mlflow")
    try:
        settings = load_settings()
        authenticator = build_authenticator(settings)
        nudger = Nudger.from_settings(settings)
    except ConfigurationError as error:
        _give_up(error)
    configure_logging("mlflow", settings.log_level)
    inner, prefix = _mlflow()
    return Guard(inner, authenticator, nudger, prefix=prefix)


def _mlflow() -> "tuple[ASGIApp, str]":
    """MLflow's own application, and its static prefix, which it hands to its workers in a variable: no setting of ours."""
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        # MLflow's use of a deprecated module of Starlette concerns nobody who runs it.
        warnings.simplefilter("ignore")
        from mlflow.server import app as flask_app  # noqa: PLC0415
        from mlflow.server.fastapi_app import create_fastapi_app  # noqa: PLC0415
        from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR  # noqa: PLC0415

    return create_fastapi_app(flask_app), os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")


def _give_up(error: "ConfigurationError") -> NoReturn:
    """Say why and end. uvicorn would start a dead worker anew for ever, so its supervisor is asked to end too."""
    import multiprocessing  # noqa: PLC0415

    from stagedoor.telemetry import get_logger  # noqa: PLC0415

    get_logger().error("cannot_start", reason=str(error))
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        os.kill(supervisor.pid, signal.SIGTERM)
    raise SystemExit(1)
