"""Who waits for a prediction, sorted by what can be put together."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Final

from serving.rows import kind_of
from serving.values import Inputs, Outputs

Done = Callable[[Outputs | Exception], None]

_ALONE: Final = -1
"""Rows of a batch that nobody can join."""


class Ticket:
    """One caller's place in the queue, taken `at`. `begun`: it is too late to leave; `inputs` are being predicted with."""

    __slots__ = ("_guard", "at", "begun", "cancelled", "done", "inputs")

    def __init__(self, guard: Lock, inputs: Inputs, done: Done, at: float) -> None:
        self._guard = guard
        self.at = at
        self.inputs = inputs
        self.done = done
        self.begun = False
        self.cancelled = False

    def cancel(self) -> bool:
        """Leave the queue. True: the rows have not been predicted with and never will be, and `done` is not called."""
        with self._guard:
            self.cancelled = not self.begun
            return self.cancelled


class Lines:
    """One line for each kind of input. Used by one thread at a time; `guard` is that of all tickets in it."""

    __slots__ = ("_guard", "_lines")

    def __init__(self, guard: Lock) -> None:
        self._guard = guard
        self._lines: dict[Hashable, deque[Ticket]] = {}

    def __len__(self) -> int:
        """The number of kinds, and so the least number of batches."""
        return len(self._lines)

    def add(self, tickets: list[Ticket]) -> None:
        """Put each at the end of its line."""
        lines = self._lines
        if len(tickets) == 1 and not lines:  # it will be taken alone, of whatever kind it is
            lines[None] = deque(tickets)
            return
        for ticket in tickets:
            kind = kind_of(ticket.inputs)
            line = lines.get(kind)
            if line is None:
                lines[kind] = deque((ticket,))
            else:
                line.append(ticket)

    def take(self, max_rows: int, too_early: float, *, one_by_one: bool) -> tuple[list[Ticket], list[Ticket]]:
        """Those who go next, all of one kind, in the order they came, and who of those in front of them does not.

        That is whoever has left, and whoever came before `too_early`, who is to be told.
        There must be somebody in line. Kinds take turns, so that none waits until there is no more of another.
        """
        kind, line = next(iter(self._lines.items()))
        del self._lines[kind]
        most = _ALONE if one_by_one or kind is None else max_rows
        batch: list[Ticket] = []
        gone: list[Ticket] = []
        rows = 0
        with self._guard:
            while line:
                ticket = line[0]
                if ticket.cancelled or ticket.at < too_early:
                    ticket.begun = not ticket.cancelled
                    gone.append(line.popleft())
                    continue
                size = ticket.inputs.rows
                if batch and rows + size > most:
                    break
                ticket.begun = True
                batch.append(line.popleft())
                rows += size
        if line:
            self._lines[kind] = line
        return batch, gone

    def clear(self) -> list[Ticket]:
        """Everybody in line, who are so no more."""
        everybody = [ticket for line in self._lines.values() for ticket in line]
        self._lines.clear()
        return everybody


def rows_in(tickets: Iterable[Ticket]) -> int:
    """All their rows."""
    return sum([ticket.inputs.rows for ticket in tickets])
