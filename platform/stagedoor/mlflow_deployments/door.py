"""The target's addresses and the conversation with them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from stagedoor.mlflow_deployments.failure import (
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    DeploymentFailed,
    code_for,
)
from stagedoor.names import ENV_PREFIX

SCHEME: Final = "stagedoor"
ANSWER_SECONDS: Final = 30.0
_FORM: Final = "Write the target as stagedoor:http://HOST:PORT, the address of a Stagedoor controller or gateway."

Json = dict[str, Any]


class _Bearer(AuthBase):
    """The token. As `auth` it also keeps a .netrc file from replacing it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True, slots=True)
class Places:
    """Where what answers. None: nobody there knows."""

    controller: str | None
    gateway: str | None
    mlflow: str | None


class Door:
    """Talks to the controller and the gateway behind one target. Raises DeploymentFailed for everything that goes wrong."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.headers["User-Agent"] = "stagedoor-deployments"
        self._places: Places | None = None

    @classmethod
    def to(cls, target: str) -> Self:
        """From `stagedoor:http://host:port`; the token is MLFLOW_TRACKING_TOKEN, else STAGEDOOR_TOKEN."""
        scheme, _, address = target.partition(":")
        parts = urlsplit(address)
        if scheme != SCHEME or parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise DeploymentFailed(_FORM)
        token = os.environ.get("MLFLOW_TRACKING_TOKEN") or os.environ.get(f"{ENV_PREFIX}TOKEN", "")
        return cls(address.rstrip("/"), token)

    @property
    def places(self) -> Places:
        """Asked once: GET /stagedoor at the target, which needs no token."""
        if self._places is None:
            found = self._exchange("GET", f"{self._url}/stagedoor")
            if found.get("role") not in {"controller", "gateway"}:
                raise DeploymentFailed(f"What answers there is not Stagedoor. {_FORM}")
            here = {str(found["role"]): self._url}
            named = {role: _address(found.get(role)) for role in ("controller", "gateway", "mlflow")}
            self._places = Places(**{role: here.get(role) or url for role, url in named.items()})
        return self._places

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """One question or command to the controller, below /v1."""
        if self.places.controller is None:
            raise DeploymentFailed(
                "This gateway follows no controller, so there is nobody to gate and promote. "
                "Start one with `stagedoor controller` and name it to the gateway (STAGEDOOR_CONTROLLER_URL), "
                "or give the controller's address as the target.",
                RESOURCE_DOES_NOT_EXIST,
            )
        return self._exchange(method, f"{self.places.controller}/v1{path}", body)

    def model(self, name: str) -> Json:
        """What the controller says of one model."""
        return self.control("GET", f"/models/{quote(name, safe='')}")

    def command(self, name: str, verb: str, body: Mapping[str, Any] | None = None) -> Json:
        """Tell the controller what to do with one model."""
        return self.control("POST", f"/models/{quote(name, safe='')}/{verb}", body or {})

    def invoke(self, ref: str, body: str) -> Json:
        """Predict through the gateway; `ref` is a checked reference, as in fraud@challenger."""
        if self.places.gateway is None:
            raise DeploymentFailed("The controller names no gateway. Give a gateway's address as the target.")
        url = f"{self.places.gateway}/models/{quote(ref, safe='/@')}/invocations"
        return self._exchange("POST", url, body)

    def _exchange(self, method: str, url: str, body: Mapping[str, Any] | str | None = None) -> Json:
        content = {"data": body.encode(), "headers": {"Content-Type": "application/json"}} if isinstance(body, str) else {}
        try:
            answer = self._session.request(
                method,
                url,
                timeout=ANSWER_SECONDS,
                allow_redirects=False,
                json=None if isinstance(body, str) else body,
                **content,  # type: ignore[arg-type]
            )
            found = answer.json()
        except requests.JSONDecodeError as error:
            raise DeploymentFailed(f"What answers there is not Stagedoor. {_FORM}") from error
        except requests.RequestException as error:
            raise DeploymentFailed(
                f"Nothing answers at the target ({type(error).__name__}). Check the address, and that Stagedoor runs.",
                TEMPORARILY_UNAVAILABLE,
            ) from error
        if not isinstance(found, dict):
            raise DeploymentFailed(f"What answers there is not Stagedoor. {_FORM}")
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            raise DeploymentFailed(_told(found, answer.status_code), code_for(answer.status_code))
        return found


def _address(value: object) -> str | None:
    return value.rstrip("/") if isinstance(value, str) and value else None


def _told(problem: Json, status: int) -> str:
    """The sentence of a problem (RFC 9457)."""
    detail = problem.get("detail") or problem.get("title")
    if status == HTTPStatus.UNAUTHORIZED:
        return f"{detail or 'No valid token.'} Give it in MLFLOW_TRACKING_TOKEN."
    return str(detail) if detail else f"Stagedoor answered with status {status}."
