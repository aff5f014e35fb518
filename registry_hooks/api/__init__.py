"""The controller's REST: what people and CI ask of it, with the tokens and roles of the gateway."""

from registry_hooks.api.app import create_api
from registry_hooks.api.services import Places, Services

__all__ = ["Places", "Services", "create_api"]
