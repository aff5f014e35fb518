"""`stagedoor promote`, `pause`, `resume`, `abort`, `rollback`, `traffic`, `approve`: commands to the controller."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from stagedoor import names
from stagedoor.cli import options
from stagedoor.cli.asking import Service, model_path, with_controller
from stagedoor.cli.waiting import wait_for


@dataclass(frozen=True, slots=True)
class _Command:
    """One command to one model."""

    controller: Service
    model: str
    as_json: bool

    def send(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give it. Raises click.ClickException with the controller's reason."""
        answer: dict[str, Any] = self.controller.post(model_path(self.model, verb), body)
        return answer

    def say(self, account: dict[str, Any], done: str) -> None:
        """What came of it. The account is as it was when the command came in, so people are told where to look."""
        click.echo(json.dumps(account, indent=2) if self.as_json else done)

    def say_asked(self, account: dict[str, Any], what: str) -> None:
        """The same of a command that the controller has still to carry out."""
        self.say(account, f"{what} `stagedoor status {self.model}` shows how it goes.")


def _commands(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that every command to a model has, and hands them on as one value."""

    @click.argument("model")
    @with_controller
    @options.as_json
    @wraps(function)
    def run(
        controller: Service,
        model: str,
        *,
        as_json: bool,
        **more: Any,  # noqa: ANN401  the options of the command itself
    ) -> None:
        function(_Command(controller, model, as_json), **more)

    return run


_wait = click.option("--wait", is_flag=True, help="Stay until it is decided, and show how it goes.")
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Longest wait, in seconds.",
)


@click.command()
@_commands
@click.argument("version", required=False)
@click.option("--strategy", help="As the tag stagedoor.rollout, for instance 'canary steps=5,25,100 interval=60s'.")
@click.option("--alias", help="The alias to move. By default champion.")
@click.option("--now", is_flag=True, help="End the running rollout by promoting its version at once.")
@_wait
@_timeout
def promote(  # noqa: PLR0913  one argument an option
    command: _Command,
    version: str | None,
    strategy: str | None,
    alias: str | None,
    timeout: float,
    *,
    now: bool,
    wait: bool,
) -> None:
    """Let VERSION of MODEL go live: gates first, then by the model's strategy.

    Exit codes with --wait: 0 it is live, 3 a gate refused it or it was rolled back, 4 undecided when the time was up.
    """
    if now == (version is not None):
        raise click.UsageError("Name a version, or say --now to end the running rollout.")
    if now and (strategy or alias):
        raise click.UsageError("--now goes with neither --strategy nor --alias.")
    wish = {"version": version, "strategy": strategy, "alias": alias}
    account = command.send("promote", {key: value for key, value in wish.items() if value is not None})
    target = account.get("target")
    if wait and target and alias in {None, names.CHAMPION}:
        account = wait_for(command.controller, command.model, target, account["asked_at"], timeout)
        command.say(account, f"Version {target} is live.")
    else:
        command.say_asked(account, f"Version {target} is asked for.")


@click.command()
@_commands
def pause(command: _Command) -> None:
    """Keep MODEL's rollout where it is. A rollback still happens."""
    command.say_asked(command.send("pause"), "A pause is asked for.")


@click.command()
@_commands
def resume(command: _Command) -> None:
    """Go on with MODEL's rollout."""
    command.say_asked(command.send("resume"), "It may go on.")


@click.command()
@_commands
def abort(command: _Command) -> None:
    """End MODEL's rollout: what was live before it stays live."""
    command.say_asked(command.send("abort"), "Its end is asked for.")


@click.command()
@_commands
@click.option("--to", help="A version's number, or what its tag semver says. By default the version that was live before.")
@_wait
@_timeout
def rollback(command: _Command, to: str | None, timeout: float, *, wait: bool) -> None:
    """Take MODEL back: end its rollout, or return to an earlier version."""
    account = command.send("rollback", {"to": to} if to is not None else None)
    target = account.get("target")
    if wait and target:
        account = wait_for(command.controller, command.model, target, account["asked_at"], timeout)
        command.say(account, f"Version {target} is live.")
    else:
        command.say_asked(account, f"Version {target} is asked for again." if target else "No version is to be live.")


@click.command()
@_commands
@click.argument("policy", required=False)
@click.option("--off", is_flag=True, help="End the split by hand.")
@click.option("--sticky", help="Where the unit comes from, as in header:X-User-Id or claim:sub; 'none' for each request.")
def traffic(command: _Command, policy: str | None, sticky: str | None, *, off: bool) -> None:
    r"""Split MODEL's traffic by hand over aliases.

    \b
    Example: stagedoor traffic fraud champion=90,challenger=10 --sticky header:X-User-Id
    """
    if off == (policy is not None):
        raise click.UsageError("Give a policy such as champion=90,challenger=10, or --off.")
    body: dict[str, Any] = {"policy": policy}
    if sticky is not None:
        body["sticky"] = None if sticky == "none" else sticky
    command.say_asked(command.send("traffic", body), "The split's end is asked for." if off else "The split is asked for.")


@click.command()
@_commands
@click.argument("version")
def approve(command: _Command, version: str) -> None:
    """Approve VERSION of MODEL as a second person, where its tag stagedoor.approval asks for one."""
    command.say(command.send("approve", {"version": version}), f"Version {version} is approved.")
