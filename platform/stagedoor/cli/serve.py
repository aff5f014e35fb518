"""`stagedoor gateway`, `stagedoor controller` and `stagedoor mlflow`: one plane alone, for machines that run only that."""

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
@click.option(
    "--follow",
    type=click.Choice(["aliases", "route"]),
    help="Serve what the aliases name, or what a controller decided. By default STAGEDOOR_FOLLOW.",
)
def gateway(  # noqa: PLR0913  one argument an option
    *, state: Path | None, mlflow_url: str | None, host: str, port: int, workers: int, follow: str | None
) -> None:
    """Run the resolver and the gateway beside an MLflow server that already exists."""
    settings, paths = options.settings_for(state)
    registry, how = mlflow_url or str(settings.mlflow_url), follow or settings.follow
    (port,) = claim(host, [PortWish("the gateway", port, "--port")])
    _serve(
        f"the gateway at {url(host, port)}",
        specs.resolver(paths, registry, how),
        specs.gateway(paths, registry, host, port, workers, follow=how),
    )


@click.command()
@options.state
@click.option("--mlflow", "mlflow_url", help="Address of the MLflow server. By default STAGEDOOR_MLFLOW_URL.")
@click.option(
    "--gateway", "gateways", multiple=True, help="Address of a gateway to watch. Repeat. By default STAGEDOOR_GATEWAYS."
)
@options.host
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 takes a free one.")
def controller(state: Path | None, mlflow_url: str | None, gateways: tuple[str, ...], host: str, port: int) -> None:
    """Run the controller: gates, canaries and rollbacks for gateways that follow its routes (`--follow route`)."""
    settings, paths = options.settings_for(state)
    (port,) = claim(host, [PortWish("the controller", port, "--port")])
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else specs.webhook_secret(paths)
    watched = gateways or tuple(str(address) for address in settings.gateways)
    registry = mlflow_url or str(settings.mlflow_url)
    _serve(f"the controller at {url(host, port)}", specs.controller(paths, registry, watched, host, port, secret=secret))


@click.command()
@options.state
@options.host
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 takes a free one.")
@click.option(
    "--nudge", "nudges", multiple=True, help="Address of a gateway's or controller's /nudge, told of each change. Repeat."
)
def mlflow(state: Path | None, host: str, port: int, nudges: tuple[str, ...]) -> None:
    """Run the MLflow server alone, guarded by bearer tokens, on SQLite in the state folder."""
    _, paths = options.settings_for(state)
    (port,) = claim(host, [PortWish("the MLflow server", port, "--port")])
    key = specs.webhook_key(paths)
    _serve(f"MLflow at {url(host, port)}", specs.mlflow_server(paths, host, port, nudge_urls=nudges, webhook_key=key))


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
