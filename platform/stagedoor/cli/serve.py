"""`stagedoor gateway` and `stagedoor mlflow`: one plane alone, for machines that run only that."""

from pathlib import Path

import click

from stagedoor.cli import options
from stagedoor.cli.narrate import Narrator
from stagedoor.cli.stopping import stop_event
from stagedoor.local import specs
from stagedoor.local.house import House, Stopped
from stagedoor.local.ports import PortWish, claim, url
from stagedoor.local.process import Spec


@click.command()
@options.state
@click.option("--mlflow", "mlflow_url", help="Address of the MLflow server. By default STAGEDOOR_MLFLOW_URL.")
@options.host
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@options.workers
def gateway(state: Path | None, mlflow_url: str | None, host: str, port: int, workers: int) -> None:
    """Run the resolver and the gateway beside an MLflow server that already exists."""
    settings, paths = options.settings_for(state)
    follow = mlflow_url or str(settings.mlflow_url)
    (port,) = claim(host, [PortWish("the gateway", port, "--port")])
    _serve(
        f"the gateway at {url(host, port)}", specs.resolver(paths, follow), specs.gateway(paths, follow, host, port, workers)
    )


@click.command()
@options.state
@options.host
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 takes a free one.")
@click.option("--nudge", help="Address of a gateway's /nudge, told at once when somebody moves an alias.")
def mlflow(state: Path | None, host: str, port: int, nudge: str | None) -> None:
    """Run the MLflow server alone, guarded by bearer tokens, on SQLite in the state folder."""
    _, paths = options.settings_for(state)
    (port,) = claim(host, [PortWish("the MLflow server", port, "--port")])
    key = specs.webhook_key(paths)
    _serve(f"MLflow at {url(host, port)}", specs.mlflow_server(paths, host, port, nudge_url=nudge, webhook_key=key))


def _serve(what: str, *processes: Spec) -> None:
    narrator = Narrator()
    with stop_event() as stop, House(stop, narrator.tell) as house:
        try:
            with narrator.doing(f"Starting {what}"):
                for spec in processes:
                    house.start(spec)
                house.wait_ready()
        except Stopped:
            return
        narrator.tell(f"Running: {what}. Ctrl-C ends it.")
        house.run()
