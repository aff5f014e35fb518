"""From values to Flask responses."""

from typing import Any

import orjson
from flask import Response

from serving.http import Reply

JSON = "application/json"


def json_answer(payload: Any, status: int = 200) -> Response:  # noqa: ANN401  any JSON value
    """A JSON answer that no cache keeps."""
    response = Response(orjson.dumps(payload), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def from_reply(reply: Reply) -> Response:
    """A reply of the plane, unchanged."""
    response = Response(reply.body, reply.status)
    response.headers.clear()
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response
