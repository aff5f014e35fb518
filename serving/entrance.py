"""What the head of a request says by itself: who asks, for what, and whether they may."""

from typing import Protocol

from serving.exchange import Clearance, Exchange
from serving.targets import parse_target
from serving.trace import new_request_id, request_id_from
from stagedoor.auth import Recognised, check_predict


class Authenticates(Protocol):
    """What is needed of stagedoor.auth.Authenticator."""

    def recognise(self, authorization: str | None, *, now: float, remote: str = "") -> Recognised:
        """Who sent this header, and for how long that may be taken as known."""

    def still_holds(self, found: Recognised, now: float) -> bool:
        """Whether it still may."""


class Entrance:
    """Looks at heads that come for the first time. Safe to use from any number of threads."""

    def __init__(self, authenticator: Authenticates, default_model: str | None, max_body_bytes: int) -> None:
        self._authenticator = authenticator
        self._default_model = default_model
        self._max_body_bytes = max_body_bytes

    def clear(self, exchange: Exchange) -> Clearance:
        """Fill in what the head of `exchange` says, and let its connection remember it. Raises Rejected.

        What was found out before a refusal stays filled in, for the log.
        """
        head = exchange.head
        headers = head.headers
        if head.repeated:
            head.refuse_repeated()
        given = request_id_from(headers)
        exchange.request_id = given or new_request_id()
        found = self._authenticator.recognise(headers.get("authorization"), now=exchange.at, remote=head.remote)
        principal = exchange.principal = found.principal
        packed = exchange.packed = headers.get("content-encoding")
        target = exchange.target = parse_target(head.path, head.query, self._default_model)
        check_predict(principal, target.ref)
        length = headers.get("content-length")
        is_too_large = length is not None and length.isdecimal() and int(length) > self._max_body_bytes
        clearance = head.clearance = Clearance(found, target, given, packed, is_too_large)
        return clearance
