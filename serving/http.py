"""A request and an answer without a server: what the lane, Flask and the tests hand to the plane and get from it."""

from typing import NamedTuple

Headers = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """One HTTP request, read to its end.

    `path` is as sent, still percent-encoded and without the query;
    `headers` keep their order and duplicates, names in lower case; `remote` is the
    peer's address.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    remote: str = ""

    def header(self, name: str) -> str | None:
        """The first header called `name` (lower case)."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Reply(NamedTuple):
    """One HTTP answer. `headers` does not hold Content-Length; the transport adds it."""

    status: int
    headers: Headers
    body: bytes
