"""Telling people what happened to a version. No notifier can veto or delay anything."""

from registry_hooks.notifiers.announcer import Announcer
from registry_hooks.notifiers.building import build_notifiers
from registry_hooks.notifiers.notice import Notice, Notifier

__all__ = ["Announcer", "Notice", "Notifier", "build_notifiers"]
