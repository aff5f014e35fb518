"""Root of Flask alone: the same answers, slower.

`gunicorn -c python:serving.gunicorn_conf -k gthread --threads 8 serving.wsgi:app`
"""

import atexit

from serving.wiring import build_worker

_worker = build_worker()
_worker.start()
atexit.register(_worker.stop)
app = _worker.flask
