"""Where the gateway and the controller are, and how they are asked. One place decides which token goes where."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import requests

from stagedoor import names
from stagedoor.cli import options
from stagedoor.local.endpoints import Endpoints, read_endpoints

TIMEOUT_SECONDS: Final = 10.0
SERVER_ERROR: Final = 500


class Unanswered(click.ClickException):
    """Nobody answers there, or somebody else does."""


class Refused(click.ClickException):
    """It answered with a problem."""

    def __init__(self, what: str, status: int, problem: object) -> None:
        self.status = status
        detail = problem.get("detail", "") if isinstance(problem, Mapping) else ""
        super().__init__(f"The {what} answered {status}. {detail}".strip())


@dataclass(frozen=True, slots=True)
class Service:
    """A plane that answers at `address`. The token does not print."""

    what: str
    address: str
    token: str = field(repr=False)

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401  JSON
        """The JSON at `path`. Raises Unanswered and Refused."""
        return self.ask("GET", path, params={key: str(value) for key, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401  JSON
        """What a command answers. Raises Unanswered and Refused."""
        return self.ask("POST", path, json=dict(body or {}))

    def delete(self, path: str) -> Any:  # noqa: ANN401  JSON
        """What a command answers. Raises Unanswered and Refused."""
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401  JSON
        """One request, never redirected: a token goes nowhere else."""
        headers = {"Authorization": f"Bearer {self.token}"}
        address = f"{self.address}{path}"
        try:
            answer = requests.request(method, address, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, **more)
            body: Any = answer.json()
        except requests.JSONDecodeError as error:
            raise Unanswered(f"What answers at {self.address} is not a Stagedoor {self.what}. Check the address.") from error
        except requests.RequestException as error:
            raise Unanswered(f"No {self.what} answers at {self.address}. Start one with `stagedoor up`.") from error
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise Refused(self.what, answer.status_code, body)
        return body


def find_controller(state: Path | None, controller: str | None, token: str | None, role: str = names.ROLE_PROMOTER) -> Service:
    """The controller that was named, else that of the running `up`, else STAGEDOOR_CONTROLLER_URL's.

    `role` is whose token of `up` is taken where none is given. Raises click.ClickException that says what to add.
    """
    settings, paths = options.settings_for(state)
    known = read_endpoints(paths.endpoints)
    address = controller or (known.controller if known else None) or _text(settings.controller_url)
    if address is None:
        raise click.ClickException(_no_place("controller", known))
    return _service("controller", address, token, known, role)


def find_gateway(state: Path | None, gateway: str | None, token: str | None, role: str = names.ROLE_PROMOTER) -> Service:
    """The gateway that was named, else that of the running `up`. Raises as `find_controller`."""
    known = read_endpoints(options.settings_for(state)[1].endpoints)
    address = gateway or (known.gateway if known else None)
    if address is None:
        raise click.ClickException(_no_place("gateway", known))
    return _service("gateway", address, token, known, role)


def with_controller(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options --state, --controller and --token to a command, which gets the service as `controller`."""

    @options.state
    @options.controller
    @options.token
    @wraps(command)
    def run(
        *,
        state: Path | None,
        controller: str | None,
        token: str | None,
        **more: Any,  # noqa: ANN401  the options of the command itself
    ) -> None:
        command(controller=find_controller(state, controller, token), **more)

    return run


def model_path(model: str, *rest: str) -> str:
    """The controller's path about one model."""
    return "/".join(["/v1/models", quote(model, safe=""), *rest])


def _service(what: str, address: str, token: str | None, known: Endpoints | None, role: str) -> Service:
    address = address.rstrip("/")
    ours = {known.gateway.rstrip("/"), (known.controller or "").rstrip("/")} if known else set()
    if token is None and address not in ours:  # a token of `up` goes to its own planes only
        if known is None:
            raise click.ClickException(_no_place(what, known))
        raise click.ClickException(f"Another {what} than that of `stagedoor up` needs --token.")
    return Service(what, address, token or (known.tokens[role] if known else ""))


def _no_place(what: str, known: Endpoints | None) -> str:
    if known is not None:
        return f"This `stagedoor up` runs no {what}. Name one with --{what} and --token."
    return f"No `stagedoor up` runs in this state folder. Name another with --state, or a {what} with --{what} and --token."


def _text(url: object) -> str | None:
    return str(url) if url is not None else None
