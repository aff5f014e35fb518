"""`python -m registry_hooks.ledger`: look into a ledger and check it, with no controller running."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec

import click

from registry_hooks.ledger import Entry, Ledger, find_ledger, ledger_place
from stagedoor.errors import ConfigurationError, ControlError
from stagedoor.paths import StatePaths
from stagedoor.settings import load_settings

TAMPERED: Final = 1
UNAVAILABLE: Final = 3

P = ParamSpec("P")


@click.group(epilog="Exit codes: 0 sound, 1 tampered with, 2 wrong use, 3 the ledger cannot be read.")
@click.option("--state", type=click.Path(path_type=Path), help="State folder; STAGEDOOR_STATE_DIR by default.")
@click.option("--ledger", "place", help="Another ledger: the path of its file. A URL belongs into STAGEDOOR_LEDGER_URL.")
@click.pass_context
def main(context: click.Context, state: Path | None, place: str | None) -> None:
    """Look into the ledger of the state folder, or the one that STAGEDOOR_LEDGER_URL names."""
    context.obj = (state, place)


def _reporting(command: Callable[P, None]) -> Callable[P, None]:
    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except (ControlError, ConfigurationError) as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(UNAVAILABLE)

    return run


@main.command()
@click.option("--head", help="A hash noted earlier (`head`): says whether the ledger still goes on from that row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@_reporting
def verify(chosen: tuple[Path | None, str | None], head: str | None, *, as_json: bool) -> None:
    """Check every row; name the first that is not as it was written."""
    ledger = _open(*chosen)
    found = ledger.verify()
    why = found.why
    if not why and head is not None and not ledger.has(head):
        why = "The ledger has no row with the hash that was noted: it was written anew."
    if as_json:
        rows = {"rows": found.rows, "sound": not why, "first_bad": found.first_bad, "why": why, "head": found.head}
        click.echo(json.dumps(rows))
    elif why:
        click.echo(f"{why} The {found.rows} rows before are sound." if found.rows else why)
    else:
        click.echo(f"{found.rows} rows, each as it was written. Head: {found.head}")
    if why:
        sys.exit(TAMPERED)


@main.command()
@click.argument("model")
@click.option("--at", help="A time, as 2026-01-31T12:00+01:00 (UTC without an offset) or seconds since 1970.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Most entries to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@_reporting
def history(chosen: tuple[Path | None, str | None], model: str, at: str | None, limit: int, *, as_json: bool) -> None:
    """What was decided about MODEL, newest first; with --at, what was live then."""
    until = _time(at) if at is not None else None
    entries = _open(*chosen).history(model, until=until, limit=limit)
    if as_json:
        stable = entries[0].state.get("stable") if entries else None
        live: dict[str, Any] = {"at": until, "live": stable} if until is not None else {}
        click.echo(json.dumps({"model": model, **live, "entries": [entry.as_json() for entry in entries]}))
        return
    if not entries:
        click.echo("Nothing was decided about a model of that name" + (" until then." if at else "."))
    elif until is not None:
        click.echo(f"Live at {_shown(until)}: version {entries[0].state.get('stable') or '(none)'}")
    for entry in entries:
        click.echo(_line(entry))


def _open(state: Path | None, place: str | None) -> Ledger:
    settings = load_settings(**({"state_dir": state} if state is not None else {}))
    return find_ledger(Path(place) if place is not None else ledger_place(settings, StatePaths(settings.state_dir)))


def _line(entry: Entry) -> str:
    versions = f"{entry.from_version or '-'} -> {entry.to_version or '-'}"
    return f"{entry.seq:>6}  {_shown(entry.at)}  {entry.kind:<12}  {versions:<10}  {entry.who}  {entry.reason}"


def _shown(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at)


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            "write a time as 2026-01-31T12:00+01:00, or as seconds since 1970", param_hint="--at"
        ) from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


if __name__ == "__main__":
    main(prog_name="python -m registry_hooks.ledger")
