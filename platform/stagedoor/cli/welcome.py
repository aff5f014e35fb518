"""What `stagedoor up` says once everything runs."""

import shlex
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from stagedoor import names
from stagedoor.demo.catalog import BREAST_CANCER, DIGITS, IRIS, example_file
from stagedoor.local.endpoints import Endpoints

_IRIS_ROW = '{"data": [[5.1, 3.5, 1.4, 0.2]]}'


def curl_lines(endpoints: Endpoints, examples: Path) -> tuple[str, str, str]:
    """One call through each protocol, whole as they stand: MLflow scoring, Open Inference Protocol v2, simple."""
    return (
        _curl(endpoints, f"/models/{BREAST_CANCER}/invocations", f"@{example_file(examples, BREAST_CANCER, 'mlflow')}"),
        _curl(endpoints, f"/v2/models/{DIGITS}/infer", f"@{example_file(examples, DIGITS, 'v2')}"),
        _curl(endpoints, f"/predict?model={IRIS}", _IRIS_ROW),
    )


def _curl(endpoints: Endpoints, path: str, body: str) -> str:
    bearer = f"Authorization: Bearer {endpoints.tokens[names.ROLE_PREDICTOR]}"
    address = f"{endpoints.gateway}{path}"
    return shlex.join(
        ["curl", "-sS", "-i", "-w", "\\n", address, "-H", "Content-Type: application/json", "--data-binary", body, "-H", bearer]
    )


def show_welcome(endpoints: Endpoints, examples: Path) -> None:
    """The demo's closing words. Tokens and curl lines stand outside the panel, unbroken, so that they can be copied."""
    _panel(endpoints)
    click.echo("\nSign in to MLflow with this token (role promoter):\n")
    click.echo(endpoints.tokens[names.ROLE_PROMOTER])
    click.echo("\nCall models with this one (role predictor):\n")
    click.echo(endpoints.tokens[names.ROLE_PREDICTOR])
    click.echo("\nTry it: MLflow's protocol, the Open Inference Protocol, and the simple one.\n")
    click.echo("\n\n".join(curl_lines(endpoints, examples)))
    click.echo(next_steps(endpoints, _command(examples.parent)))
    click.echo("\nCtrl-C ends everything; the next start finds it all again.")


def next_steps(endpoints: Endpoints, command: str) -> str:
    """What to try next. `command` is how to call stagedoor in another terminal, `{}` standing for its words."""
    address = f"{endpoints.mlflow}/#/models/{BREAST_CANCER}"
    click_there = f"open {address}, click version 3, `Add` beside Aliases, type {names.CHAMPION},\n`Save aliases`"
    if endpoints.controller is None:
        return (
            f"\nPromote the challenger: {click_there}, and send the first curl again: X-Model-Version says 3.\n"
            f"Or split the traffic: give the model the tag {names.TAG_TRAFFIC} with the value champion=90,challenger=10."
        )
    return (
        "\nWatch a bad version being promoted and rolled back, in another terminal:\n\n"
        f"{command.format('demo')}\n\n"
        "Promote a good one yourself. This sends the requests by which a canary is decided; without any it holds:\n\n"
        f"{command.format('demo --traffic')}\n\n"
        f"Then {click_there}. Gates, 10 %, 50 %, and it is live;\n"
        f"or from a terminal: {command.format(f'promote {BREAST_CANCER} 3 --wait')}\n"
        f"`{command.format('status')}` shows what waits for what."
    )


def _command(state: Path) -> str:
    """As it was called, with the state folder unless that is the usual one."""
    called = Path(sys.argv[0])
    program = str(called) if called.name == "stagedoor" else "stagedoor"
    usual = state == Path(".stagedoor").resolve()
    return f"{program} {{}}" if usual else f"{program} {{}} --state {shlex.quote(str(state))}"


def show_running(endpoints: Endpoints, file: Path) -> None:
    """The same without a demo."""
    _panel(endpoints)
    click.echo(f"\nTokens: {file} (readable by you alone). Ctrl-C ends everything.")


def _panel(endpoints: Endpoints) -> None:
    places = Table.grid(padding=(0, 2))
    places.add_row("MLflow", endpoints.mlflow, "sign in with the promoter's token")
    places.add_row("Gateway", endpoints.gateway, "how to call it: /docs")
    if endpoints.controller is not None:
        places.add_row("Controller", endpoints.controller, "what it decides: stagedoor status")
    Console(highlight=False).print(Panel(places, title="Stagedoor is running", expand=False))
