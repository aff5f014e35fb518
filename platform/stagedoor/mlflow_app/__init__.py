"""`mlflow server --app-name stagedoor`: the MLflow server behind bearer tokens and a sign-in page."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def create_app() -> "ASGIApp":
    """Build the guarded server; uvicorn calls it in each of its workers. Raises ConfigurationError.

    The launcher imports this module only to see that this is a function, so that everything heavy is imported in here.
    """
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        # MLflow's use of a deprecated module of Starlette concerns nobody who runs it.
        warnings.simplefilter("ignore")
        from mlflow.server import app as flask_app  # noqa: PLC0415
        from mlflow.server.fastapi_app import create_fastapi_app  # noqa: PLC0415
        from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR  # noqa: PLC0415

    from stagedoor.auth import build_authenticator  # noqa: PLC0415
    from stagedoor.mlflow_app.guard import Guard  # noqa: PLC0415
    from stagedoor.mlflow_app.nudges import Nudger  # noqa: PLC0415
    from stagedoor.settings import load_settings  # noqa: PLC0415
    from stagedoor.telemetry import configure_logging  # noqa: PLC0415

    settings = load_settings()
    configure_logging("mlflow", settings.log_level)
    nudger = Nudger.from_settings(settings)
    # MLflow hands its own `--static-prefix` to the workers in this variable; it is no setting of ours.
    prefix = os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")
    return Guard(create_fastapi_app(flask_app), build_authenticator(settings), nudger, prefix=prefix)
