"""gunicorn's protocol, which begins with the first request for it and not with the connection."""

from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol


class PatientProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """Its parser and its task cost as much as all else of a connection, in time and memory. Most connections never need them.

    `is_patient` says whether it may wait so; that does not change. HTTP/2 begins at once all the same.
    """

    def __init__(self, worker: Any, *, is_patient: bool) -> None:  # noqa: ANN401  a gunicorn worker
        super().__init__(worker)
        self._is_patient = is_patient
        self._is_plain = False

    @property
    def is_http1(self) -> bool:
        """Whether what comes may be taken for HTTP/1: nothing else has begun, and no web socket."""
        return self._is_plain and (self._task is None or (self._callback_parser is not None and self._websocket is None))

    def begin_with(self, request: bytes) -> None:
        """Answer a whole request of HTTP/1."""
        if self._task is None:
            super()._start_http1()
        super().data_received(request)

    def _start_http1(self, buffered: bytes = b"") -> None:
        """What gunicorn does last when it takes a connection."""
        self._is_plain = self._is_patient
        if not self._is_plain:
            super()._start_http1(buffered)
        elif buffered:
            self.data_received(buffered)
