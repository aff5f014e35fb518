"""Holding a ledger and what workers say to their laws: nothing twice, nothing missing, no epoch back."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from rig import System

from registry_hooks.ledger import Ledger
from registry_hooks.ledger.tables import entries

LOOK_SECONDS = 0.01


@dataclass
class EpochWatch:
    """Reads what each worker says of its routes, again and again: `back` holds each step that an epoch went back."""

    system: System
    looks: int = 0
    steps: int = 0
    back: list[tuple[int, str, int, int]] = field(default_factory=list)

    @contextmanager
    def watching(self) -> Iterator[EpochWatch]:
        """For as long as the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name="epochs")
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(30)

    def _run(self, stop: threading.Event) -> None:
        newest: dict[tuple[int, str], int] = {}
        while not stop.wait(LOOK_SECONDS):
            for worker in self.system.workers():
                self.looks += 1
                for model, epoch in worker["routes"].items():
                    before = newest.get((worker["pid"], model), 0)
                    self.steps += epoch > before
                    if epoch < before:
                        self.back.append((worker["pid"], model, before, epoch))
                    newest[worker["pid"], model] = epoch


@dataclass(frozen=True)
class Audit:
    """What the whole ledger shows. All but `rows`, `epochs` and `generations` are to be zero."""

    rows: int
    generations: int
    epochs: int
    broken_chain: int
    gaps: int
    double_keys: int
    serials_out_of_order: int
    epochs_back: int
    epochs_with_two_routes: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        wrong = (self.broken_chain, self.gaps, self.double_keys, self.serials_out_of_order)
        return not any((*wrong, self.epochs_back, self.epochs_with_two_routes))


def rows_of(ledger: Ledger) -> list[dict[str, Any]]:
    """All of it, in order, with the state read."""
    with ledger.database.reading() as connection:
        found = [row._asdict() for row in connection.execute(sa.select(entries).order_by(entries.c.seq))]
    return [{**row, "state": json.loads(row["state"])} for row in found]


def audit(ledger: Ledger) -> Audit:
    """Hold the ledger to its laws."""
    rows = rows_of(ledger)
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    routes: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        if row["state"]["route"]:
            routes.setdefault((row["model"], row["epoch"]), set()).add(row["state"]["route"])
    pairs = [(a, b) for of_model in by_model.values() for a, b in itertools.pairwise(of_model)]
    verified = ledger.verify()
    return Audit(
        rows=len(rows),
        generations=ledger.generation()[0],
        epochs=len(routes),
        broken_chain=int(verified.first_bad is not None),
        gaps=sum(row["seq"] != number for number, row in enumerate(rows, 1)),
        double_keys=len(rows) - len({row["key"] for row in rows}),
        serials_out_of_order=sum(b["state"]["serial"] != a["state"]["serial"] + 1 for a, b in pairs),
        epochs_back=sum(b["epoch"] < a["epoch"] for a, b in pairs),
        epochs_with_two_routes=sum(len(found) > 1 for found in routes.values()),
    )


def audit_table(found: Audit, watch: EpochWatch) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and one row."""
    columns = ["ledger rows", "generations", "broken chain", "gaps", "double keys", "serials out of order", "epochs"]
    columns += ["epochs back, ledger", "epochs with two routes", "worker reports read", "epochs back, workers"]
    values = (found.rows, found.generations, found.broken_chain, found.gaps, found.double_keys, found.serials_out_of_order)
    rest = (found.epochs, found.epochs_back, found.epochs_with_two_routes, watch.looks, len(watch.back))
    return columns, [(*values, *rest)]
