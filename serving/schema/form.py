"""What every kind of signature answers. A codec picks the method that mirrors how the data was written."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from serving.values import Arrays, Inputs, TensorSpec
from stagedoor.errors import SchemaMismatch

FIRST_INPUT: Final = "input-1"
"""What an unnamed input is called in metadata and messages."""


_MAX_COMPARED: Final = 200  # comparing names takes the square of their length, and callers choose one of them


class Form(Protocol):
    """A compiled input schema. Every method raises SchemaMismatch or BodyTooLarge, and nothing else."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """What it takes, for people and for `/v2` metadata."""

    def split(self, names: Sequence[str] | None, rows: list[Any], max_rows: int) -> Inputs:
        """Rows as lists; `names` gives their columns, None the signature's order."""

    def records(self, rows: list[Any], max_rows: int) -> Inputs:
        """Rows as objects of column names to values."""

    def named(self, values: Mapping[str, Any], max_rows: int) -> Inputs:
        """One list (or scalar, or nested list) for each column or tensor."""

    def nested(self, data: object, max_rows: int) -> Inputs:
        """Lists without names: the one tensor, the one column, or rows in the signature's order."""

    def tensors(self, arrays: Arrays, max_rows: int) -> Inputs:
        """Typed tensors by name, as the Open Inference Protocol brings them; "" names the only one."""

    def frame(self, columns: Arrays, max_rows: int) -> Inputs:
        """Typed 1-d columns of one length by name, as CSV and Parquet bring them."""


def unknown(sent: Iterable[object], known: Sequence[str], what: str) -> SchemaMismatch:
    """The error for a name that the signature does not have; it names the nearest one that it has."""
    names = set(known)
    stray = next((name for name in sent if name not in names), None)
    comparable = isinstance(stray, str) and len(stray) <= _MAX_COMPARED and len(known) <= _MAX_COMPARED
    near = difflib.get_close_matches(str(stray), known, n=1, cutoff=0.5) if comparable else []
    hint = f"; did you mean {near[0]}?" if near else ""
    return SchemaMismatch(f"{what}s", f"only {_listed(known)}", f"an unknown {what}{hint}")


def missing(name: str, what: str) -> SchemaMismatch:
    """The error for a required column or tensor that was not sent."""
    return SchemaMismatch(name, f"this {what}", "nothing")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown  # noqa: PLR2004  a readable list
