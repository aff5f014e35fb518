"""One read of the registry, believed only where it is consistent."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Final

from stagedoor.domain.intent import RegisteredModel
from stagedoor.errors import RegistryGarbled, RegistryNotFound
from stagedoor.registry.port import Registry

MAX_CONFIRMATIONS: Final = 20


def read_registry(
    registry: Registry, patterns: Collection[str], served: Collection[str], *, partly: bool = False
) -> dict[str, RegisteredModel | None]:
    """All models whose name fits one of `patterns`; None for one of the `served` that is still to be confirmed as gone.

    `partly`: only those of the `served`, of which there must be some.

    A served model that is missing from the list is gone only if the registry, asked for it by name, says so: a server
    that answers an empty list by mistake must not end anything. Raises RegistryError; RegistryGarbled also if the two
    answers contradict each other. At most 20 are confirmed in one read.
    """
    models: dict[str, RegisteredModel | None] = {
        model.name: model
        for model in registry.models(served if partly else ())
        if any(fnmatchcase(model.name, pattern) for pattern in patterns)
    }
    missing = [name for name in sorted(served) if name not in models]
    for name in missing[:MAX_CONFIRMATIONS]:
        _confirm_gone(registry, name, patterns)
    models.update(dict.fromkeys(missing[MAX_CONFIRMATIONS:]))
    return models


def _confirm_gone(registry: Registry, name: str, patterns: Collection[str]) -> None:
    if not any(fnmatchcase(name, pattern) for pattern in patterns):
        return
    try:
        registry.model(name)
    except RegistryNotFound:
        return
    raise RegistryGarbled("The registry lists its models without one that it knows by name. Nothing changes until it agrees.")
