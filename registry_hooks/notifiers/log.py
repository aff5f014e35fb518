"""The notifier that is always there: a line in the controller's log."""

from typing import ClassVar

from registry_hooks.notifiers.notice import Notice
from stagedoor.telemetry import get_logger


class LogNotifier:
    """Writes each notice as the event `notice`."""

    name: ClassVar = "log"

    def __call__(self, notice: Notice) -> None:
        """See Notifier."""
        get_logger().info(
            "notice",
            model=notice.model,
            version=notice.version,
            what=notice.event,
            reason=notice.reason,
            at=notice.at,
            who=notice.who,
        )
