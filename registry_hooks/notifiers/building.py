"""Which notifiers there are: the log, Apprise where addresses are set, and those of the entry points `stagedoor.notifiers`."""

from typing import Final

from registry_hooks.extensions import extensions
from registry_hooks.notifiers.announcer import Announcer
from registry_hooks.notifiers.apprise import AppriseNotifier
from registry_hooks.notifiers.log import LogNotifier
from registry_hooks.notifiers.notice import Notifier
from stagedoor.settings import Settings
from stagedoor.telemetry import get_logger

ENTRY_POINTS: Final = "stagedoor.notifiers"


def build_notifiers(settings: Settings) -> Announcer:
    """An announcer with all of them; close it at the end.

    Raises ConfigurationError for addresses that cannot be used. A broken extension is logged and left out: no notifier may
    keep the controller from its work.
    """
    notifiers: list[tuple[str, Notifier]] = [(LogNotifier.name, LogNotifier())]
    if settings.notify_urls:
        notifiers.append((AppriseNotifier.name, AppriseNotifier(url.get_secret_value() for url in settings.notify_urls)))
    for found in extensions(ENTRY_POINTS):
        if found.broken:
            get_logger().error("notifier_broken", notifier=found.name, why=found.broken)
        else:
            notifiers.append((found.name, found.value))
    return Announcer(notifiers)
