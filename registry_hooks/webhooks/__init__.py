"""MLflow's webhooks: hints to look at the registry at once. Nothing is decided by what they say."""

from registry_hooks.webhooks.receiver import Receiver
from registry_hooks.webhooks.registration import Registration, ensure_registered
from stagedoor.webhooks import Delivery

__all__ = ["Delivery", "Receiver", "Registration", "ensure_registered"]
