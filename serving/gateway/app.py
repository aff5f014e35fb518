"""The Flask app: every path of the gateway, complete without the lane."""

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect

from serving import metrics
from serving.blame import cause_of
from serving.gateway import docs, models, nudge, predictions, problem_pages, status
from serving.gateway.access import EXTENSION
from serving.gateway.answers import from_reply
from serving.gateway.node import NodeReader
from serving.gateway.scrape import export_metrics
from serving.gateway.services import Services
from serving.gateway.target import checked_path
from serving.problems import reply_for
from serving.targets import is_predict_path
from serving.trace import new_request_id, request_id_from, trace_id_from
from stagedoor import names
from stagedoor import problems as table
from stagedoor.errors import BodyTooLarge, MalformedHeader, StagedoorError
from stagedoor.telemetry import get_logger

VIEWS = (predictions.views, models.views, status.views, nudge.views, problem_pages.views, docs.views)


def create_app(services: Services) -> Flask:
    """The app over `services`. Nothing is started; several apps may live in one process."""
    app = Flask(__name__, static_folder=None)
    # A path means what it says: no redirect to a tidier one.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    reader = NodeReader(services.paths)
    app.extensions[EXTENSION] = services
    app.extensions[status.READER] = reader
    app.before_request(_identify)
    app.after_request(_finish)
    app.teardown_request(_forget)
    app.register_error_handler(Exception, _answer_problem)
    for views in VIEWS:
        app.register_blueprint(views)
    export_metrics(app, services, reader)
    return app


def _identify() -> None:
    """Give the request its id, its trace and its path, before anything can go wrong with it."""
    g.request_id = new_request_id()
    g.path = checked_path(request.environ)
    if request.method == "POST" and is_predict_path(g.path):
        return  # the plane does the same, and keeps the record
    headers = dict(predictions.headers_of(request.environ))
    if "," in request.headers.get(names.HEADER_REQUEST_ID, ""):
        raise MalformedHeader(names.HEADER_REQUEST_ID, "send it once")
    g.request_id = request_id_from(headers) or g.request_id
    trace = trace_id_from(headers.get("traceparent"))
    structlog.contextvars.bind_contextvars(request_id=g.request_id, **({"trace_id": trace} if trace else {}))


def _finish(response: Response) -> Response:
    """What every answer carries, whoever wrote it."""
    if names.HEADER_REQUEST_ID not in response.headers:
        response.headers[names.HEADER_REQUEST_ID] = g.request_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _forget(_: BaseException | None) -> None:
    structlog.contextvars.unbind_contextvars("request_id", "trace_id")


def _answer_problem(error: Exception) -> Response:
    """The last handler: whatever was raised becomes a problem, and nothing of it leaks."""
    if isinstance(error, RequestRedirect):
        return Response(status=error.code, headers={"Location": error.new_url})
    told = _translate(error)
    if table.problem_of(told) is table.INTERNAL:
        get_logger().error("request failed", method=request.method, rule=str(request.url_rule), cause=cause_of(error))
    metrics.REJECTED.labels(table.code_of(told)).inc()
    reply = reply_for(told, g.request_id, open_inference=request.path.startswith("/v2"))
    return from_reply(reply)


def _translate(error: Exception) -> Exception:
    """Werkzeug's exceptions in our own terms."""
    if isinstance(error, StagedoorError) or not isinstance(error, HTTPException):
        return error
    if isinstance(error, NotFound):
        return table.RouteNotFound()
    if isinstance(error, MethodNotAllowed):
        return table.MethodNotAllowed(tuple(sorted(error.valid_methods or ())))
    if isinstance(error, RequestEntityTooLarge):
        return BodyTooLarge(nudge.MAX_BODY)
    if error.code is not None and 400 <= error.code < 500:  # noqa: PLR2004  HTTP's client errors
        return table.MalformedRequest()
    return error
