"""`stagedoor ...`: starts the planes as processes or asks them over HTTP, and never imports them."""

from importlib import import_module
from typing import Any, Final

import click

from stagedoor import __version__
from stagedoor.errors import StagedoorError

COMMANDS: Final = {
    "abort": "rollouts",
    "approve": "rollouts",
    "config": "config",
    "controller": "serve",
    "demo": "demo",
    "drill": "drill",
    "experiment": "experiment",
    "gateway": "serve",
    "history": "history",
    "ledger": "history",
    "mlflow": "serve",
    "pause": "rollouts",
    "promote": "rollouts",
    "resume": "rollouts",
    "rollback": "rollouts",
    "status": "status",
    "token": "token",
    "traffic": "rollouts",
    "up": "up",
    "why": "why",
}
"""The module of each command. It is imported when its command is asked for: a gateway starts sooner without the others."""


class Commands(click.Group):
    """Finds commands where COMMANDS says, and turns errors of the tree into one line and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's own signature
        """All names, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  the same
        """The command of that name; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[cmd_name]}"), cmd_name)
        return command

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
