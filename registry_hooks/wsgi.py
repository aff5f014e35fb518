"""Root of the controller: `gunicorn -c python:registry_hooks.gunicorn_conf registry_hooks.wsgi:app`."""

from registry_hooks.wiring import build_control
from stagedoor.settings import load_settings
from stagedoor.telemetry import configure_logging

_settings = load_settings()
configure_logging("controller", _settings.log_level)
control = build_control(_settings)
app = control.flask
