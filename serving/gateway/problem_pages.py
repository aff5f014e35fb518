"""`GET /problems/<code>`: the page that a problem's `type` leads to, written from the same table."""

from flask import Blueprint, Response, render_template

from serving.gateway.docs import html_answer
from stagedoor.problems import BY_CODE, RouteNotFound

views = Blueprint("problem_pages", __name__)


@views.get("/problems")
def index() -> Response:
    """All codes."""
    rows = sorted(BY_CODE.values(), key=lambda row: (row.status, row.code))
    return html_answer(render_template("problems.html", rows=rows, title="Problems"))


@views.get("/problems/<code>")
def page(code: str) -> Response:
    """One code: what it means and what to do. Raises RouteNotFound for any other."""
    row = BY_CODE.get(code)
    if row is None:
        raise RouteNotFound
    return html_answer(render_template("problems.html", rows=[row], title=row.title))
