"""`stagedoor ...`: starts the planes as processes or asks them over HTTP, and never imports them."""

from typing import Any

import click

from stagedoor import __version__
from stagedoor.cli.config import config
from stagedoor.cli.demo import demo
from stagedoor.cli.drill import drill
from stagedoor.cli.experiment import experiment
from stagedoor.cli.history import history, ledger
from stagedoor.cli.rollouts import COMMANDS
from stagedoor.cli.serve import controller, gateway, mlflow
from stagedoor.cli.status import status
from stagedoor.cli.token import token
from stagedoor.cli.up import up
from stagedoor.cli.why import why
from stagedoor.errors import StagedoorError


class Commands(click.Group):
    """Turns errors of the tree into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's own signature
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except StagedoorError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="stagedoor")
def main() -> None:
    """Promote a model in MLflow, and it is live behind an authenticated REST gateway within a second.

    Settings come from the environment (STAGEDOOR_*); `stagedoor config` lists them.

    Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage; with --wait also 3 refused or rolled back,
    4 undecided when the time was up.
    """


for command in (
    up,
    gateway,
    controller,
    mlflow,
    token,
    status,
    *COMMANDS,
    history,
    why,
    experiment,
    drill,
    ledger,
    demo,
    config,
):
    main.add_command(command)
