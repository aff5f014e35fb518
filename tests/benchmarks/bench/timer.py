"""Waiting for a moment with the precision of microseconds."""

import contextlib
import ctypes
import os
import time


class Timer:
    """A timerfd on the monotonic clock (Python has it from 3.13 on). It ticks."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()  # interval (s, ns), then the moment (s, ns)

    def start(self, first_ns: int, gap_ns: int) -> None:
        """Make `fd` readable at that moment and every `gap_ns` from then on."""
        self._spec[0], self._spec[1] = divmod(gap_ns, 1_000_000_000)
        self._spec[2], self._spec[3] = divmod(first_ns, 1_000_000_000)
        if self._libc.timerfd_settime(self.fd, 1, self._spec, None):  # 1: TFD_TIMER_ABSTIME
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Make `fd` wait for the next tick; the kernel sets the timer again only then."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)
