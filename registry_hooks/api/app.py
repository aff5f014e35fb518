"""The Flask app of the controller."""

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from registry_hooks.api import commands, machine, questions
from registry_hooks.api.access import EXTENSION
from registry_hooks.api.bodies import MAX_BODY
from registry_hooks.api.machine import NothingHere
from registry_hooks.api.metrics import export_metrics
from registry_hooks.api.request_ids import checked_id, new_id
from registry_hooks.api.services import Services
from stagedoor import names
from stagedoor import problems as table
from stagedoor.errors import BodyTooLarge, StagedoorError
from stagedoor.telemetry import get_logger

VIEWS = (machine.views, questions.views, commands.views)


def create_api(services: Services) -> Flask:
    """The app over `services`. Nothing is started; several apps may live in one process. Made for threads."""
    app = Flask(__name__, static_folder=None)
    # A path means what it says: no redirect to a tidier one.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.extensions[EXTENSION] = services
    app.before_request(_identify)
    app.after_request(_finish)
    app.teardown_request(_forget)
    app.register_error_handler(Exception, _answer_problem)
    for views in VIEWS:
        app.register_blueprint(views)
    export_metrics(app, services)
    return app


def _identify() -> None:
    """Give the request its id before anything can go wrong with it."""
    g.request_id = new_id()
    g.request_id = checked_id(request.headers.get(names.HEADER_REQUEST_ID))
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    """What every answer carries, whoever wrote it."""
    response.headers.setdefault(names.HEADER_REQUEST_ID, g.request_id)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _forget(_: BaseException | None) -> None:
    structlog.contextvars.unbind_contextvars("request_id")


def _answer_problem(error: Exception) -> Response:
    """The last handler: whatever was raised becomes a problem, and nothing of it leaks."""
    told = _translate(error)
    if table.problem_of(told) is table.INTERNAL:
        # The kind alone: a message could quote what was sent, or a database's address.
        get_logger().error("request failed", method=request.method, rule=str(request.url_rule), error=type(error).__name__)
    answer = table.tell(told, g.request_id)
    response = Response(answer.body, answer.status)
    response.headers.clear()
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


def _translate(error: Exception) -> Exception:
    """Werkzeug's exceptions in our own terms."""
    if isinstance(error, StagedoorError) or not isinstance(error, HTTPException):
        return error
    if isinstance(error, NotFound):
        return NothingHere()
    if isinstance(error, MethodNotAllowed):
        return table.MethodNotAllowed(tuple(sorted(error.valid_methods or ())))
    if isinstance(error, RequestEntityTooLarge):
        return BodyTooLarge(MAX_BODY)
    if error.code is not None and 400 <= error.code < 500:  # noqa: PLR2004  HTTP's client errors
        return table.MalformedRequest()
    return error
