"""The third act's picture: what the controller says, and what callers see."""

import time
from collections.abc import Mapping
from typing import Any, Final, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stagedoor.cli.endings import progress_of
from stagedoor.cli.rollout_view import rollout
from stagedoor.demo.callers import Seen

LINE_SECONDS: Final = 2.0
"""Between two lines where there is no terminal."""

Json = Mapping[str, Any]


def callers_line(seen: Seen) -> str:
    """What callers saw, in one sentence or two."""
    shares = ", ".join(f"{number} by version {version}" for version, number in sorted(seen.versions.items()))
    line = f"Callers: {seen.sent} requests, {seen.errors} errors" + (f"; answered {shares}." if shares else ".")
    return f"{line} {seen.stood_in} of these answers stand in for one that the new version failed." if seen.stood_in else line


def evidence_line(account: Json) -> str:
    """The e-value against its threshold, where there is one yet."""
    numbers = (account.get("verdict") or {}).get("numbers") or {}
    value = numbers.get("e_rollback")
    alpha = (account.get("rules") or {}).get("alpha")
    if value is None or not alpha:
        return ""
    said = f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"e-value for a rollback {said} of {1 / alpha:g}"


class Stage:
    """A live picture on a terminal, a line every few seconds elsewhere. Entered while it shows."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._due = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, account: Json, seen: Seen) -> None:
        """The state of things."""
        if self._live is not None:
            style = "green" if not seen.errors else "red"
            self._live.update(Group(rollout(account, time.time()), Text(f"  {callers_line(seen)}", style)), refresh=True)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            click.echo("; ".join(part for part in (progress_of(account), evidence_line(account), callers_line(seen)) if part))

    def tell(self, words: str) -> None:
        """One sentence or more, outside the picture."""
        click.echo(words)
