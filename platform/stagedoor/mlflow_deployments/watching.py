"""Waiting for an end, and saying how far it is: a bar on a terminal, a line for each change elsewhere (CI logs)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from stagedoor.mlflow_deployments.door import Door, Json
from stagedoor.mlflow_deployments.failure import (
    ABORTED,
    DEADLINE_EXCEEDED,
    TEMPORARILY_UNAVAILABLE,
    DeploymentFailed,
)
from stagedoor.mlflow_deployments.progress import Progress
from stagedoor.mlflow_deployments.wishes import Patience

POLL_SECONDS: Final = 0.5
LINE_SECONDS: Final = 15.0
"""Between two lines of one stage in a log."""
SILENCE_SECONDS: Final = 60.0
"""How long the controller may be away (a restart, a deploy) before waiting for it ends."""

Judge = Callable[[Json, float, int], Progress]
Show = Callable[[Progress], None]


def watch(door: Door, name: str, asked_at: float, patience: Patience, judge: Judge) -> Json:
    """Wait for `judge` to see an end; returns the model then. Raises DeploymentFailed: it failed, or the time is over."""
    end = time.monotonic() + patience.seconds
    with _shown(name) as show:
        looks, seen, row, progress = 0, asked_at, Json(), Progress("going", "Waiting for the controller to look.")
        while True:
            row = _ask(door, name, end)
            updated = float(row.get("updated_at") or 0)
            if updated > seen:
                looks, seen = looks + 1, updated
            progress = judge(row, asked_at, looks)
            show(progress)
            if progress.state == "done":
                return row
            if progress.state == "failed":
                raise DeploymentFailed(progress.text, ABORTED)
            if time.monotonic() >= end:
                raise DeploymentFailed(
                    f"Not at its end after {patience.seconds:g} seconds. {progress.text} It goes on without this command: "
                    "`stagedoor status` shows it, `stagedoor abort` ends it, -C timeout=... waits longer.",
                    DEADLINE_EXCEEDED,
                )
            time.sleep(POLL_SECONDS)


def _ask(door: Door, name: str, end: float) -> Json:
    """One look; a controller that is away is asked again for a while."""
    give_up = min(end, time.monotonic() + SILENCE_SECONDS)
    while True:
        try:
            return door.model(name)
        except DeploymentFailed as error:
            if error.error_code != "TEMPORARILY_UNAVAILABLE":
                raise
            if time.monotonic() >= give_up:
                raise DeploymentFailed(
                    f"The controller went away and with it the news. What was asked for stands. {error.message}",
                    TEMPORARILY_UNAVAILABLE,
                ) from error
            time.sleep(POLL_SECONDS)


@contextmanager
def _shown(name: str) -> Iterator[Show]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.fields[name]}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, name=name)
        yield lambda progress: bar.update(task, completed=progress.share, description=progress.text)


class _Lines:
    """A line at once when a new stage begins; numbers that change with each request now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = Progress("going", "")
        self._quiet_until = 0.0

    def __call__(self, progress: Progress) -> None:
        said, self_told = self._said, progress.state == "failed"  # a failure is told by its exception
        due = (progress.state, progress.stage) != (said.state, said.stage) or time.monotonic() >= self._quiet_until
        if due and progress.text != said.text and not self_told:
            self._said = progress
            self._quiet_until = time.monotonic() + LINE_SECONDS
            with suppress(OSError):
                self._console.print(progress.text, markup=False, soft_wrap=True)
