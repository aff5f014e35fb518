"""`python -m registry_hooks [GUNICORN OPTIONS]`: the controller with its REST."""

import os
import sys

if __name__ == "__main__":
    command = [sys.executable, "-P", "-m", "gunicorn", "--config", "python:registry_hooks.gunicorn_conf", *sys.argv[1:]]
    os.execv(sys.executable, [*command, "registry_hooks.wsgi:app"])  # noqa: S606  our own interpreter
