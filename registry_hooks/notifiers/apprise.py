"""Slack, mail, Teams and a hundred others through Apprise (https://appriseit.com), which the extra `notify` brings."""

import logging
import warnings
from collections.abc import Iterable
from typing import ClassVar, Final

from registry_hooks.notifiers.notice import Notice
from stagedoor.errors import ConfigurationError

_BAD: Final = frozenset({"rolled_back", "refused", "aborted", "frozen"})


class AppriseNotifier:
    """Sends each notice to all of `urls`. They hold secrets: they are never logged, and neither is what Apprise says of them.

    Raises ConfigurationError without the extra, or for an address that Apprise does not know, by its place in the list.
    """

    name: ClassVar = "apprise"

    def __init__(self, urls: Iterable[str]) -> None:
        try:
            import apprise  # noqa: PLC0415  an extra
        except ImportError as error:
            raise ConfigurationError(
                "STAGEDOOR_NOTIFY_URLS needs the extra `notify`: pip install 'stagedoor[notify]'."
            ) from error
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._types = apprise.NotifyType
        self._apprise = apprise.Apprise()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what its services import, with the first address
            for place, url in enumerate(urls, 1):
                if not self._apprise.add(url):
                    raise ConfigurationError(
                        f"STAGEDOOR_NOTIFY_URLS: Apprise does not know address {place}. See https://appriseit.com/services/."
                    )

    def __call__(self, notice: Notice) -> None:
        """See Notifier. Raises RuntimeError if any address could not be reached."""
        kind = self._types.FAILURE if notice.event in _BAD else self._types.INFO
        body = f"{notice.reason}\n(asked for by {notice.who})" if notice.who else notice.reason
        if not self._apprise.notify(body=body, title=notice.title, notify_type=kind):
            raise RuntimeError("Apprise could not deliver the notice to all addresses")
