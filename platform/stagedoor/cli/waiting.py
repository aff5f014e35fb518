"""Waiting for a rollout's end while saying how it goes."""

import time
from collections.abc import Callable
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.live import Live

from stagedoor.cli.asking import SERVER_ERROR, Refused, Service, Unanswered, model_path
from stagedoor.cli.endings import Ending, TurnedBack, Undecided, ending_of, progress_of
from stagedoor.cli.rollout_view import rollout

POLL_SECONDS: Final = 0.5
Json = dict[str, Any]


def wait_for(controller: Service, model: str, version: str, asked_at: float, seconds: float) -> Json:
    """The model's account once `version` is live.

    Raises TurnedBack with the reason if it was refused, rolled back or aborted, and Undecided after `seconds`. A controller
    that does not answer for a while is waited for: another one takes over.
    """
    deadline = time.monotonic() + seconds
    with _Progress() as progress:
        while True:
            account = _look(controller, model, progress)
            ending = ending_of(account, version, asked_at) if account is not None else None
            if account is not None:
                progress.show(account)
            if account is not None and ending is not None:
                break
            if time.monotonic() >= deadline:
                raise Undecided(
                    f"Version {version} is still on its way after {seconds:g} s, and goes on. `stagedoor status` shows it."
                )
            time.sleep(POLL_SECONDS)
    _check(ending)
    return account


def _check(ending: Ending) -> None:
    if not ending.good:
        raise TurnedBack(str(ending))


def _look(controller: Service, model: str, progress: "_Progress") -> Json | None:
    try:
        account: Json = controller.get(model_path(model))
    except Unanswered as error:
        progress.tell(error.message)
        return None
    except Refused as error:
        if error.status < SERVER_ERROR:
            raise
        progress.tell(error.message)
        return None
    return account


class _Progress:
    """A live picture on a terminal; elsewhere a line whenever something has changed. On standard error."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._said = ""
        self._clock = clock

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, account: Json) -> None:
        """The account, if it says something new."""
        if self._live is not None:
            self._live.update(rollout(account, self._clock()), refresh=True)
        else:
            self.tell(progress_of(account))

    def tell(self, line: str) -> None:
        """One line, once."""
        if line != self._said:
            self._said = line
            click.echo(line, err=True)
