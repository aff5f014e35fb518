"""Receiving webhooks: signed by MLflow, of now, and each only once."""

import hashlib
import math
import threading
from collections import OrderedDict
from typing import Final

from stagedoor.errors import BodyTooLarge
from stagedoor.webhooks import WINDOW_SECONDS, Delivery, check_signature

MAX_BODY: Final = 64 * 1024
REMEMBERED_SECONDS: Final = 3.0 * WINDOW_SECONDS
"""A delivery stamped five minutes ahead passes for ten minutes; for longer than that its id is known."""
MAX_REMEMBERED: Final = 20_000


class Receiver:
    """Tells new deliveries from those that came before. What they say is not read. Safe to call from several threads."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def accept(self, delivery: Delivery, now: float) -> bool:
        """Whether `delivery` comes for the first time; `now` is in seconds since 1970.

        Raises BodyTooLarge over 64 KiB, before anything is computed over it, and TokenInvalid for one that MLflow did not sign
        with our secret within five minutes of now. Only those can use up the memory for ids: beyond 20,000 the oldest go.
        """
        if len(delivery.body) > MAX_BODY:
            raise BodyTooLarge(MAX_BODY)
        check_signature(delivery, self._secret, now)
        # As the signature reads it: two ids that it cannot tell apart are one.
        mark = hashlib.blake2b(delivery.delivery_id.encode("latin-1", "replace"), digest_size=16).digest()
        with self._lock:
            if now - self._seen.get(mark, -math.inf) < REMEMBERED_SECONDS:
                return False
            self._make_room(now)
            self._seen[mark] = now
            return True

    def _make_room(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if len(self._seen) < MAX_REMEMBERED and now - oldest < REMEMBERED_SECONDS:
                return
            self._seen.popitem(last=False)
