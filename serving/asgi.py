"""Root of the usual gateway worker: the lane in front, Flask behind it.

`gunicorn -c python:serving.gunicorn_conf serving.asgi:app`
"""

from typing import Any, cast

from a2wsgi import WSGIMiddleware

from serving.lane.asgi import App, Lane
from serving.wiring import build_worker

_worker = build_worker()
app = Lane(
    _worker.plane,
    cast("App", WSGIMiddleware(cast("Any", _worker.flask), workers=_worker.settings.threads)),
    on_start=_worker.start_in_loop,
    on_stop=_worker.stop,
)
