"""The predict paths for Flask alone. The lane answers them first where it stands in front."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from flask import Blueprint, Response, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

from serving.gateway.access import services
from serving.gateway.answers import from_reply
from serving.http import Headers, Request
from stagedoor.errors import MalformedBody

views = Blueprint("predictions", __name__)

_PIECE: Final = 65_536
_BROKEN: Final = (OSError, ValueError, ClientDisconnected, ParseException)
"""What the input streams of werkzeug and gunicorn raise when the sender breaks off or breaks the rules."""

_ONLY_ONCE: Final = frozenset({"authorization", "x-request-id"})


@views.post("/models/<path:ref>/invocations")
def invocations(ref: str) -> Response:  # noqa: ARG001  the plane reads the path itself
    """MLflow's scoring protocol."""
    return _predict()


@views.post("/v2/models/<name>/infer")
@views.post("/v2/models/<name>/versions/<version>/infer")
def infer(name: str, version: str | None = None) -> Response:  # noqa: ARG001  the plane reads the path itself
    """The Open Inference Protocol."""
    return _predict()


@views.post("/predict")
def predict() -> Response:
    """The simple API."""
    return _predict()


def _predict() -> Response:
    return from_reply(services().plane.predict(plane_request(request.environ, g.path, services().settings.max_body_bytes)))


def plane_request(environ: Mapping[str, Any], path: str, max_body_bytes: int) -> Request:
    """The request of a WSGI environ, its body read. Raises MalformedBody."""
    return Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        headers=tuple(_headers(environ)),
        body=read_body(environ, max_body_bytes),
        remote=environ.get("REMOTE_ADDR", ""),
    )


def _headers(environ: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            name = key[5:].replace("_", "-").lower()
            # WSGI joins headers of one name; those that must be alone come apart again, to be refused as two.
            for part in value.split(",") if name in _ONLY_ONCE else (value,):
                yield name, part
        elif key in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value:
            yield key.replace("_", "-").lower(), value


def headers_of(environ: Mapping[str, Any]) -> Headers:
    """The headers of a WSGI environ, names in lower case."""
    return tuple(_headers(environ))


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The body, or its first `limit` + 1 bytes where it is longer; no more is ever read.

    A body whose Content-Length is over the limit is not read at all: the plane refuses it by that header, once it
    knows who asks. Raises MalformedBody where the transfer breaks off or is not encoded as it says.
    """
    declared = str(environ.get("CONTENT_LENGTH") or "")
    if declared.isdecimal() and int(declared) > limit:
        return b""
    try:
        stream = get_input_stream({**environ, **_chunked(environ)})
        pieces = []
        room = limit + 1
        while room and (piece := stream.read(min(room, _PIECE))):
            pieces.append(piece)
            room -= len(piece)
    except _BROKEN as error:
        raise MalformedBody("is not transferred as its headers say, or breaks off before its end") from error
    return b"".join(pieces)


def _chunked(environ: Mapping[str, Any]) -> dict[str, Any]:
    """A server that hands on a chunked body ends it, whether or not it says so in `wsgi.input_terminated`."""
    chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower()
    return {"wsgi.input_terminated": True} if chunked else {}
