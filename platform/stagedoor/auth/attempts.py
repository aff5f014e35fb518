"""How many bad tokens an address may send before it has to wait. Bounded in memory, whatever comes."""

import ipaddress
import math
import threading
from collections import OrderedDict
from typing import Final

from stagedoor.errors import TooManyAttempts

WINDOW_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 4096
_HOME_NETWORK: Final = 64


class Attempts:
    """Counts bad tokens by address in windows of a minute, in this process. Safe to share between threads."""

    def __init__(self, per_minute: int, max_addresses: int = MAX_ADDRESSES) -> None:
        self._per_minute = per_minute
        self._max_addresses = max_addresses
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, remote: str, now: float) -> None:
        """Count one bad token. Raises TooManyAttempts once the address is over its limit for this minute."""
        address = _group(remote)
        with self._lock:
            started, count = self._windows.get(address, (now, 0))
            if not 0 <= now - started < WINDOW_SECONDS:
                started, count = now, 0
            self._windows[address] = (started, count + 1)
            if count == 0:
                self._windows.move_to_end(address)
            if len(self._windows) > self._max_addresses:
                self._windows.popitem(last=False)
        if count >= self._per_minute:
            raise TooManyAttempts(max(1, math.ceil(started + WINDOW_SECONDS - now)))

    def __len__(self) -> int:
        return len(self._windows)


def _group(remote: str) -> str:
    """One household is one caller: an IPv6 address counts as its /64."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv4Address):
        return remote
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _HOME_NETWORK), strict=False))
