"""`/docs`: the API for people, and `/openapi.json`: the same for programs. Nothing is fetched from anywhere else."""

from functools import cache
from importlib.resources import files
from typing import Final

from flask import Blueprint, Response, redirect, render_template

from serving.gateway.answers import json_answer
from stagedoor import __version__
from stagedoor.problems import RouteNotFound

views = Blueprint("docs", __name__)

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

STATIC: Final = {
    "docs.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def html_answer(text: str) -> Response:
    """A page that runs its own scripts only, sits in no frame and tells no other site where it was."""
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@views.get("/")
def root() -> Response:
    """Lead people to the page for them."""
    response = redirect("/docs", 302, Response)
    assert isinstance(response, Response)  # noqa: S101  as asked for; Flask's types promise werkzeug's only
    return response


@views.get("/docs")
def page() -> Response:
    """Paths, bodies and problems, with a form to try each path."""
    return html_answer(render_template("docs.html", version=__version__))


@views.get("/docs/<file>")
def static_file(file: str) -> Response:
    """The page's own files. Raises RouteNotFound for any other."""
    if file not in STATIC:
        raise RouteNotFound
    response = Response(_content(file), content_type=STATIC[file])
    response.headers["Cache-Control"] = "no-cache"
    return response


@cache
def _content(file: str) -> bytes:
    return (files("serving.gateway") / "static" / file).read_bytes()


@views.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document."""
    from serving.gateway.openapi import document  # noqa: PLC0415  brings in marshmallow, which few workers are asked for

    return json_answer(document())
