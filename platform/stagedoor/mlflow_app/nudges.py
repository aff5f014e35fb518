"""Telling gateways that the registry has changed. A hint: it may get lost, and never holds up an answer."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Self
from urllib.parse import urlsplit

import requests

from stagedoor import names
from stagedoor.auth import issue_token
from stagedoor.settings import Settings
from stagedoor.telemetry import get_logger

TIMEOUT: Final = (0.5, 2.0)
TOKEN_SECONDS: Final = 300.0
SUBJECT: Final = "stagedoor-mlflow"


class Nudger:
    """Posts to every address from one thread. However many nudges wait, they are one: it says nothing but "look"."""

    def __init__(self, urls: Sequence[str], token: Callable[[], str]) -> None:
        self._urls = tuple(urls)
        self._token = token
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = get_logger()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A nudger of `settings.nudge_urls` with a short-lived token of its own. Raises ConfigurationError without a secret."""
        token = _OwnToken(settings)
        if settings.nudge_urls:
            token()
        return cls([str(url) for url in settings.nudge_urls], token)

    def start(self) -> None:
        """Start the thread, if there is anybody to nudge."""
        if self._urls and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nudger", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread; waits for a post under way, at most three seconds."""
        self._closed.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(sum(TIMEOUT) + 0.5)

    def nudge(self) -> None:
        """Ask for a nudge soon. Never waits, never raises."""
        self._wanted.set()

    def _run(self) -> None:
        with requests.Session() as session:
            # Neither a proxy nor a netrc file may come between: the one would see the token, the other replace it.
            session.trust_env = False
            while self._wanted.wait() and not self._closed.is_set():
                self._wanted.clear()
                for url in self._urls:
                    self._post(session, url)

    def _post(self, session: requests.Session, url: str) -> None:
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            answer = session.post(url, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        except (requests.RequestException, OSError) as error:
            self._log.warning("nudge_failed", gateway=urlsplit(url).netloc, reason=type(error).__name__)
            return
        if not answer.ok:
            self._log.warning("nudge_refused", gateway=urlsplit(url).netloc, status=answer.status_code)


class _OwnToken:
    """A promoter's token for five minutes, made anew after half of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token = ""
        self._renew_at = 0.0

    def __call__(self) -> str:
        now = time.time()
        if now >= self._renew_at:
            self._token = issue_token(
                self._settings,
                subject=SUBJECT,
                roles=(names.ROLE_PROMOTER,),
                models=(),
                lifetime_seconds=TOKEN_SECONDS,
                now=now,
            )
            self._renew_at = now + TOKEN_SECONDS / 2
        return self._token
