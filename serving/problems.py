"""The gateway's answer to an error, from the table that both planes share."""

from functools import cache
from typing import Final

from serving.http import Reply
from stagedoor import names
from stagedoor.errors import Overloaded
from stagedoor.problems import tell

_PLACE: Final = b"0" * 32
"""Where the id of the request will stand."""


def reply_for(error: BaseException, request_id: str, *, open_inference: bool = False) -> Reply:
    """The answer that tells `error`. Never raises, and shows nothing of an exception that is not ours.

    With `open_inference` the body also has the string member `error` that the Open Inference Protocol asks for.
    """
    if type(error) is Overloaded and request_id.isalnum():
        return _turned_away(request_id, open_inference)
    return Reply(*tell(error, request_id, open_inference=open_inference))


def _turned_away(request_id: str, open_inference: bool) -> Reply:  # noqa: FBT001  a cache's key
    """The same at a tenth of its cost: it is told when there is no time to lose."""
    status, headers, body = _overloaded(open_inference)
    return Reply(status, (*headers[:-1], (names.HEADER_REQUEST_ID, request_id)), body.replace(_PLACE, request_id.encode()))


@cache
def _overloaded(open_inference: bool) -> Reply:  # noqa: FBT001  the same
    return Reply(*tell(Overloaded(), _PLACE.decode(), open_inference=open_inference))
