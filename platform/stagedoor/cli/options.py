"""Options that several commands share."""

from pathlib import Path

import click

from stagedoor.paths import StatePaths
from stagedoor.settings import Settings, load_settings

state = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="State folder. By default STAGEDOOR_STATE_DIR, else .stagedoor.",
)
host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
mlflow_port = click.option(
    "--mlflow-port",
    type=click.IntRange(0, 65535),
    default=5000,
    show_default=True,
    help="Port of the MLflow server; 0 takes a free one.",
)
gateway_port = click.option(
    "--gateway-port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of the gateway; 0 takes a free one.",
)
workers = click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes of the gateway."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


controller = click.option("--controller", help="Address of the controller. By default that of the running `stagedoor up`.")
gateway = click.option("--gateway", help="Address of the gateway. By default that of the running `stagedoor up`.")
token = click.option(
    "--token", envvar="STAGEDOOR_TOKEN", show_envvar=True, help="A token with the role for it. By default that of `up`."
)


def settings_for(state: Path | None) -> tuple[Settings, StatePaths]:
    """The settings of the environment with an absolute state folder, `state` first. Raises ConfigurationError."""
    settings = load_settings() if state is None else load_settings(state_dir=state)
    root = settings.state_dir.expanduser().resolve()
    return settings.model_copy(update={"state_dir": root}), StatePaths(root)
