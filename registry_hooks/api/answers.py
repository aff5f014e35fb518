"""From values to responses."""

from typing import Any

import orjson
from flask import Response

JSON = "application/json"


def json_answer(payload: Any, status: int = 200) -> Response:  # noqa: ANN401  any JSON value
    """A JSON answer that no cache keeps."""
    return Response(orjson.dumps(payload), status, content_type=JSON)
