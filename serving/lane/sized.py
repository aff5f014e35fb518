"""Bodies whose length was said before (RFC 9112, section 6.2)."""


class SizedBody:
    """One body of `length` bytes, read as a ChunkedBody is."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Body bytes in `data`, and what follows the body; None in its place while the body goes on."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data, None
        return data[:left], data[left:]
