"""Telling gateways and controller that the registry has changed. A hint: it may get lost, and never holds up an answer."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, Self
from urllib.parse import urlsplit

import requests

from stagedoor import names
from stagedoor.auth import OwnToken
from stagedoor.settings import Settings
from stagedoor.telemetry import get_logger

TIMEOUT: Final = (0.5, 2.0)
TOKEN_SECONDS: Final = 300.0
SUBJECT: Final = "stagedoor-mlflow"


class Nudger:
    """Posts to each address from a thread of its own: one that hangs keeps nobody else from hearing.

    However many nudges wait, they are one: it says nothing but "look".
    """

    def __init__(self, urls: Sequence[str], token: Callable[[], str]) -> None:
        self._posts = [_Post(url, token) for url in urls]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A nudger of `settings.nudge_urls` with a short-lived token of its own. Raises ConfigurationError without a secret."""
        token = OwnToken(settings, subject=SUBJECT, roles=(names.ROLE_PROMOTER,), models=(), lifetime_seconds=TOKEN_SECONDS)
        if settings.nudge_urls:
            token()
        return cls([str(url) for url in settings.nudge_urls], token)

    def start(self) -> None:
        """Start the threads, if there is anybody to nudge."""
        for post in self._posts:
            post.start()

    def close(self) -> None:
        """End the threads; waits for posts under way, at most three seconds."""
        for post in self._posts:
            post.end()
        for post in self._posts:
            post.join()

    def nudge(self) -> None:
        """Ask for a nudge soon. Never waits, never raises."""
        for post in self._posts:
            post.wanted.set()


class _Post:
    """One address, and the thread that posts there."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.wanted = threading.Event()
        self._url = url
        self._token = token
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = get_logger()

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nudger", daemon=True)
            self._thread.start()

    def end(self) -> None:
        self._closed.set()
        self.wanted.set()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join(sum(TIMEOUT) + 0.5)

    def _run(self) -> None:
        with requests.Session() as session:
            # Neither a proxy nor a netrc file may come between: the one would see the token, the other replace it.
            session.trust_env = False
            while self.wanted.wait() and not self._closed.is_set():
                self.wanted.clear()
                self._send(session)

    def _send(self, session: requests.Session) -> None:
        headers = {"Authorization": f"Bearer {self._token()}"}
        where = urlsplit(self._url).netloc
        try:
            answer = session.post(self._url, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        except (requests.RequestException, OSError) as error:
            self._log.warning("nudge_failed", where=where, reason=type(error).__name__)
            return
        if not answer.ok:
            self._log.warning("nudge_refused", where=where, status=answer.status_code)
