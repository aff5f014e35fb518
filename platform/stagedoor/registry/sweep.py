"""How far a read of all models, a page at a time, has come. Pure."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from stagedoor.errors import RegistryGarbled

MAX_PAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Sweep:
    """The `page` to read next, the pages `read` and names `seen`; of the last sweep, its pages and the names it `missed`."""

    page: str = ""
    read: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    last: int = 1

    @property
    def pages(self) -> int:
        """How many pages there are, as far as is known: with so many read from now on, each has been read since now."""
        return max(self.last, len(self.read) + bool(self.page))

    def after(self, names: AbstractSet[str], following: str, known: AbstractSet[str]) -> tuple["Sweep", frozenset[str]]:
        """Go on after a page that holds `names` to the `following` one; "" begins the next sweep.

        Also those of the `known` names that are gone: missing from a list of one page; from one of several, in two sweeps
        in a row, as a deletion in between moves a name from a page not yet read to one that has been. Raises
        RegistryGarbled if pages never end.
        """
        read, seen = self.read | {self.page}, self.seen | names
        if following and (following in read or len(read) == MAX_PAGES):
            raise RegistryGarbled(f"The registry's pages of models lead in a circle, or are more than {MAX_PAGES}.")
        if following:
            return replace(self, page=following, read=read, seen=seen), frozenset()
        missed = frozenset(known - seen)
        return Sweep(missed=missed, last=len(read)), missed if len(read) == 1 else missed & self.missed
