"""The loop that makes the world follow what people want: read, plan, write down, carry out."""

from registry_hooks.controller.controller import Controller, Parts

__all__ = ["Controller", "Parts"]
