# ruff: noqa: INP001
"""gunicorn's configuration for the gateway: `gunicorn -c platform/deploy/gunicorn.conf.py serving.asgi:app`."""

from serving.gunicorn_conf import *  # noqa: F403  one home for the values
