"""Versions whose requests each run alone, in a thread; as with batches, more than can be answered in time are not taken."""

import math
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from weakref import WeakKeyDictionary

from serving.alarm import Alarm
from serving.allowance import Allowance
from serving.batching import HANGS_AFTER_SECONDS, TURN_SECONDS
from serving.cores import usable_cores
from serving.loading.version import Version
from serving.rooms import Room
from stagedoor.errors import Overloaded


class _Work:
    """One request, told from others by being itself."""

    __slots__ = ("came", "refuse", "run")

    def __init__(self, run: Callable[[], None], refuse: Callable[[], None], came: float) -> None:
        self.run = run
        self.refuse = refuse
        self.came = came


class Solo:
    """One version's requests, in the order in which they come. Safe to use from any number of threads.

    `side_by_side` is how many run at once: with more than there are cores for, each would be slower, and the event loop would
    wait for a core. One that takes longer than `HANGS_AFTER_SECONDS` is taken to hang, and does not count. In an overload
    whoever has waited for too long when their turn comes is refused.
    """

    def __init__(
        self,
        room: Room,
        max_wait_seconds: float,
        side_by_side: float = math.inf,
        alarm: Alarm | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._room = room
        self._clock = clock
        self._allowance = Allowance(max_wait_seconds, alarm=alarm)
        self._side_by_side = side_by_side
        self._always = side_by_side + 1 if math.isfinite(side_by_side) else 1  # or a core waits for its next
        self._guard = Lock()
        self._waiting: deque[_Work] = deque()
        self._in_hand: dict[_Work, float] = {}  # and when they began

    @property
    def on_their_way(self) -> int:
        """Those who wait, and those in hand."""
        return len(self._waiting) + len(self._in_hand)

    def has_room(self) -> bool:
        """Whether one more would be answered in time; also for who has yet to read it."""
        on_their_way = self.on_their_way
        if on_their_way < self._always:
            return True
        return on_their_way < self._room.places and self._allowance.admits(on_their_way + 1, on_their_way + 1, self._clock())

    def submit(self, work: Callable[[], None], refuse: Callable[[], None]) -> Callable[[], bool]:
        """Have `work` run by a thread, or `refuse` where that would be too late. Raises Overloaded.

        Returns what takes it back, if it has not begun.
        """
        if not self.has_room():
            raise Overloaded
        mine = _Work(work, refuse, self._clock())
        with self._guard:
            self._waiting.append(mine)
        try:
            self._room.submit(self._serve)
        except BaseException:
            if self._take_back(mine):  # else it is in hand already
                raise
        return lambda: self._take_back(mine)

    def _take_back(self, work: _Work) -> bool:
        """Whether it had not begun, and never will."""
        with self._guard:
            try:
                self._waiting.remove(work)
            except ValueError:
                return False
            return True

    def _serve(self) -> None:
        """Do what waits, until nothing does, or others are doing it."""
        until = self._clock() + TURN_SECONDS
        while (work := self._next()) is not None:
            try:
                self._do(work)
            except BaseException:  # no model's doing, but who waits must not wait for a thread that has ended
                self._is_handed_on()
                raise
            if self._clock() > until and self._is_handed_on():
                return

    def _next(self) -> _Work | None:
        now = self._clock()
        with self._guard:
            running = [began for began in self._in_hand.values() if now - began < HANGS_AFTER_SECONDS]
            if not self._waiting or len(running) >= self._side_by_side:
                return None
            work = self._waiting.popleft()
            self._in_hand[work] = now
            return work

    def _do(self, work: _Work) -> None:
        began = self._clock()
        try:
            if work.came < self._allowance.came_too_early(began):
                work.refuse()
            else:
                self._run(work, began)
        finally:
            with self._guard:
                del self._in_hand[work]

    def _run(self, work: _Work, began: float) -> None:
        self._allowance.began(began, began - work.came)
        try:
            work.run()
        finally:
            self._allowance.ended(self._clock() - began, len(self._in_hand))

    def _is_handed_on(self) -> bool:
        """Whether the rest will be done by the next free thread; if none can be had, it is for this one."""
        if not self._waiting:
            return False
        try:
            self._room.submit(self._serve)
        except Overloaded:
            return False
        return True


class Solos:
    """One for each version, made when first wanted, gone with it. Safe to use from any number of threads."""

    def __init__(self, room: Room, max_wait_seconds: float) -> None:
        """`max_wait_seconds` is what a request may wait, unless the model itself takes longer. `cores` are there for all."""
        self._room = room
        self._max_wait = max_wait_seconds
        self.cores = usable_cores()
        self._made: WeakKeyDictionary[Version, Solo] = WeakKeyDictionary()
        self._making = Lock()

    def of(self, version: Version) -> Solo:
        """That of `version`."""
        known = self._made.get(version)
        if known is None:
            with self._making:
                known = self._made.get(version)
                if known is None:
                    known = self._made[version] = self._make(version)
        return known

    def _make(self, version: Version) -> Solo:
        side_by_side = max(1, self.cores // version.cores) if version.cores else math.inf
        return Solo(self._room, self._max_wait, side_by_side, Alarm.of(version.name, version.version))
