"""The token with which one of our own processes speaks to another."""

import threading
import time
from collections.abc import Callable

from stagedoor.auth.tokens import issue_token
from stagedoor.settings import Settings


class OwnToken:
    """A token signed with our own secret, renewed at half its life. Safe to call from several threads.

    Raises ConfigurationError where there is no secret to sign with (only public keys are configured).
    """

    def __init__(  # noqa: PLR0913  all that a token says
        self,
        settings: Settings,
        *,
        subject: str,
        roles: tuple[str, ...],
        models: tuple[str, ...] = ("*",),
        lifetime_seconds: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._subject = subject
        self._roles = roles
        self._models = models
        self._lifetime = lifetime_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def __call__(self) -> str:
        """The token as of now."""
        with self._lock:
            now = self._clock()
            if now >= self._renew_at:
                self._token = issue_token(
                    self._settings,
                    subject=self._subject,
                    roles=self._roles,
                    models=self._models,
                    lifetime_seconds=self._lifetime,
                    now=now,
                )
                self._renew_at = now + self._lifetime / 2
            return self._token
