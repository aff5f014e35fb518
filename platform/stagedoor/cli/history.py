"""`stagedoor history` and `stagedoor ledger verify`: what happened, and whether the account of it is whole."""

import json
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from stagedoor.cli import options
from stagedoor.cli.asking import Service, model_path, with_controller

Json = dict[str, Any]


@click.command()
@click.argument("model")
@click.option("--at", help="What was live then: 2026-01-31T12:00:00Z (UTC unless it says otherwise), or seconds since 1970.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most entries, newest first.")
@with_controller
@options.as_json
def history(controller: Service, model: str, at: str | None, limit: int, *, as_json: bool) -> None:
    """Show what was decided about MODEL: when, by whom, from and to which version, and why."""
    told: Json = controller.get(model_path(model, "history"), at=at, limit=limit)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    console = Console(highlight=False)
    console.print(sentence(told), markup=False)
    if told["entries"]:
        console.print(lines(told["entries"]))


def sentence(told: Json) -> str:
    """What was live at the moment asked for."""
    live = told.get("live")
    when = "Live now" if told.get("at") is None else f"Live at {moment(told['at'])}"
    if live is None or live.get("version") is None:
        return f"{when}: nothing."
    return f"{when}: version {live['version']}, since {moment(live['since'])} (entry {live['seq']}, {live['who']})."


def lines(entries: list[Json]) -> RenderableType:
    """Each decision in a line, and its reason beneath: sentences fit into no column of a terminal."""
    return Group(*(part for entry in entries for part in (_headline(entry), _reason(entry))))


def _headline(entry: Json) -> Text:
    before, after = entry.get("from_version"), entry.get("to_version")
    version = f"{before} → {after}" if before and after and before != after else after or before or ""
    line = Text(f"{entry['seq']:>4}  {moment(entry['at'])}  ", overflow="fold")
    line.append(str(entry["kind"]).replace("_", " "), "bold")
    line.append(f" {version}  live: {entry.get('live') or 'nothing'}  epoch {entry['epoch']}  by {entry['who']}")
    return line


def _reason(entry: Json) -> Padding:
    return Padding(Text(str(entry["reason"]), "dim", overflow="fold"), (0, 0, 0, 6))


def moment(seconds: float) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@click.group()
def ledger() -> None:
    """Look after the ledger of decisions."""


@ledger.command()
@with_controller
@options.as_json
def verify(controller: Service, *, as_json: bool) -> None:
    """Check that no row of the ledger was changed, removed or put in. Exit code 1 names the first that was."""
    found: Json = controller.get("/v1/ledger/verify")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if not found["sound"]:
        raise click.ClickException(f"The ledger was tampered with at row {found['first_bad']}: {found['why']}")
    if not as_json:
        click.echo(f"All {found['rows']} rows are as they were written. Newest hash: {found['head']}")
