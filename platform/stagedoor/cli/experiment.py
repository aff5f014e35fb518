"""`stagedoor experiment MODEL`: how the arms of a split do, and how sure one may be of it."""

import json
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from stagedoor.cli import options
from stagedoor.cli.asking import Service, model_path, with_controller

Json = dict[str, Any]


@click.command()
@click.argument("model")
@with_controller
@options.as_json
def experiment(controller: Service, model: str, *, as_json: bool) -> None:
    """Compare the arms of MODEL's split: users, failure rates, and a difference that holds however often one looks."""
    report: Json = controller.get(model_path(model, "experiment"))
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        Console(highlight=False).print(picture(report))


def picture(report: Json) -> RenderableType:
    """Arms in a table, then the ratio alarm and the advice."""
    arms = Table(box=None, pad_edge=False)
    for heading in ("arm", "version", "share", str(report["unit"]), "failures", "rate", "difference (percent points)"):
        arms.add_column(heading, overflow="fold")
    for arm in report["arms"]:
        rate = "" if arm["rate"] is None else f"{arm['rate'] * 100:.3g} %"
        cells = (arm["arm"], arm["version"], f"{arm['share'] * 100:g} %", arm["units"], arm["failures"], rate, _difference(arm))
        arms.add_row(*(Text(str(cell)) for cell in cells))
    ratio = report["ratio"]
    alarm = (
        Text("The split is not as it was meant to be.", "bold red", overflow="fold")
        if ratio["alarm"]
        else Text("The split is as it was meant to be.", "dim", overflow="fold")
    )
    return Group(arms, alarm, Text(str(report["advice"]), overflow="fold"))


def _difference(arm: Json) -> str:
    found = arm.get("difference")
    if not found:
        return ""
    value = "?" if found["value"] is None else f"{found['value'] * 100:+.3g}"
    return f"{value} [{found['low'] * 100:+.3g}, {found['high'] * 100:+.3g}]"
