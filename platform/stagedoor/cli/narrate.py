"""Telling people what is going on: a spinner on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console


class Narrator:
    """Sentences on standard error, so that standard output stays for what was asked for."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def tell(self, sentence: str) -> None:
        """One line. When the terminal is gone nobody listens, and what runs goes on."""
        with suppress(OSError):
            self.console.print(sentence, markup=False, soft_wrap=True)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show that `what` is under way."""
        if not self.console.is_terminal:
            self.tell(f"{what} ...")
            yield
            return
        with self.console.status(what):
            yield
        self.console.print(f"[green]done[/] {what}", soft_wrap=True)
