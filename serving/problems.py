"""The gateway's answer to an error, from the table that both planes share."""

from functools import lru_cache
from typing import Final

from serving.http import Headers, Reply
from stagedoor import names
from stagedoor.errors import Overloaded
from stagedoor.problems import tell

_PLACE: Final = b"0" * 32
"""Where the id of the request will stand."""


def reply_for(error: BaseException, request_id: str, *, open_inference: bool = False) -> Reply:
    """The answer that tells `error`. Never raises, and shows nothing of an exception that is not ours.

    With `open_inference` the body also has the string member `error` that the Open Inference Protocol asks for.
    """
    if type(error) is Overloaded:
        return turned_away(request_id, open_inference=open_inference)
    return Reply(*tell(error, request_id, open_inference=open_inference))


def turned_away(request_id: str, version: Headers = (), *, open_inference: bool = False) -> Reply:
    """The answer that tells Overloaded at a third of its cost: there is no time to lose. `version` says who had no room."""
    if request_id.isalnum():
        status, headers, body = _overloaded(version, open_inference)
        return Reply(status, (*headers, (names.HEADER_REQUEST_ID, request_id)), body.replace(_PLACE, request_id.encode()))
    status, (*same, last), body = tell(Overloaded(), request_id, open_inference=open_inference)
    return Reply(status, (*same, *version, last), body)


@lru_cache(maxsize=1024)
def _overloaded(version: Headers, open_inference: bool) -> Reply:  # noqa: FBT001  a cache's key
    """Without the header that has the request's id."""
    status, headers, body = tell(Overloaded(), _PLACE.decode(), open_inference=open_inference)
    return Reply(status, (*headers[:-1], *version), body)
