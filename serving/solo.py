"""Versions whose requests each run alone, in a thread; as with batches, more than can be answered in time are not taken."""

import time
from collections.abc import Callable
from threading import Lock
from weakref import WeakKeyDictionary

from serving.allowance import Allowance
from serving.loading.version import Version
from serving.rooms import Room
from stagedoor.errors import Overloaded


class Solo:
    """One version's requests in `room`. Safe to use from any number of threads."""

    def __init__(self, room: Room, max_wait_seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._room = room
        self._clock = clock
        self._allowance = Allowance(max_wait_seconds)
        self._guard = Lock()
        self.on_their_way = 0  # those who wait, and those in hand
        self._in_hand = 0

    def has_room(self) -> bool:
        """Whether one more would be answered in time; also for who has yet to read it."""
        on_their_way = self.on_their_way
        return not on_their_way or self._allowance.admits(on_their_way + 1, self._clock())

    def submit(self, work: Callable[[], None]) -> Callable[[], bool]:
        """Have `work` run by a thread. Returns what takes it back, if it has not begun. Raises Overloaded."""
        if not self.has_room():
            raise Overloaded
        came = self._clock()

        def run() -> None:
            began = self._clock()
            self._allowance.began(began, began - came)
            with self._guard:
                self._in_hand += 1
            try:
                work()
            finally:
                with self._guard:
                    side_by_side = self._in_hand
                    self._in_hand -= 1
                self._allowance.ended(self._clock() - began, side_by_side)

        with self._guard:
            self.on_their_way += 1
        try:
            future = self._room.submit(run)
        except BaseException:
            self._one_less()
            raise
        future.add_done_callback(lambda _: self._one_less())
        return future.cancel

    def _one_less(self) -> None:
        with self._guard:
            self.on_their_way -= 1


class Solos:
    """One for each version, made when first wanted, gone with it. Safe to use from any number of threads."""

    def __init__(self, room: Room, max_wait_seconds: float) -> None:
        """`max_wait_seconds` is what a request may wait, unless the model itself takes longer."""
        self._room = room
        self._max_wait = max_wait_seconds
        self._made: WeakKeyDictionary[Version, Solo] = WeakKeyDictionary()
        self._making = Lock()

    def of(self, version: Version) -> Solo:
        """That of `version`."""
        known = self._made.get(version)
        if known is None:
            with self._making:
                known = self._made.get(version)
                if known is None:
                    known = self._made[version] = Solo(self._room, self._max_wait)
        return known
