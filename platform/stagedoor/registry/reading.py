"""One read of the registry, believed only where it is consistent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from stagedoor.domain.intent import RegisteredModel
from stagedoor.errors import RegistryGarbled, RegistryNotFound
from stagedoor.registry.port import Registry
from stagedoor.registry.sweep import Sweep

MAX_CONFIRMATIONS: Final = 20
NAMES_AT_ONCE: Final = 40
"""Models asked for by name in one request: their names must fit in an address."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read found: models by name, names that are `gone`, and where to go on. Nothing is said of other models.

    `sweep` is None after a read of the served models only.
    """

    models: Mapping[str, RegisteredModel]
    gone: frozenset[str]
    sweep: Sweep | None


def read_registry(
    registry: Registry,
    patterns: Collection[str],
    known: frozenset[str],
    served: frozenset[str],
    sweep: Sweep | None,
) -> Reading:
    """The next page of all models whose name fits one of `patterns`; beside it, if it is one of several, those `served`.

    Without a `sweep`, only those `served`. `known` are the names of all models found so far.

    A served model that is missing is gone only if the registry, asked for it alone, says so: a server that answers an
    empty list by mistake must not end anything. Raises RegistryError; RegistryGarbled also if the two answers contradict
    each other. At most 20 are confirmed in one read, the rest in later ones.
    """
    models: dict[str, RegisteredModel] = {}
    gone: frozenset[str] = frozenset()
    whole = False
    if sweep is not None:
        page = registry.models(page=sweep.page)
        models = _fitting(page.models, patterns)
        whole = not sweep.page and not page.next
        sweep, gone = sweep.after(models.keys(), page.next, known - served)
    answered = models if whole else _by_name(registry, patterns, sorted(served))
    missing = sorted(served - answered.keys())[:MAX_CONFIRMATIONS]
    for name in missing:
        _confirm_gone(registry, name, patterns)
    gone |= frozenset(missing)
    return Reading({name: model for name, model in {**models, **answered}.items() if name not in gone}, gone, sweep)


def _by_name(registry: Registry, patterns: Collection[str], names: list[str]) -> dict[str, RegisteredModel]:
    found: dict[str, RegisteredModel] = {}
    for first in range(0, len(names), NAMES_AT_ONCE):
        sweep, more = Sweep(), True
        while more:
            page = registry.models(names[first : first + NAMES_AT_ONCE], sweep.page)
            found |= _fitting(page.models, patterns)
            sweep, _ = sweep.after(set(), page.next, set())
            more = bool(page.next)
    return found


def _fitting(models: Collection[RegisteredModel], patterns: Collection[str]) -> dict[str, RegisteredModel]:
    return {model.name: model for model in models if any(fnmatchcase(model.name, pattern) for pattern in patterns)}


def _confirm_gone(registry: Registry, name: str, patterns: Collection[str]) -> None:
    if not any(fnmatchcase(name, pattern) for pattern in patterns):
        return
    try:
        registry.model(name)
    except RegistryNotFound:
        return
    raise RegistryGarbled("The registry lists its models without one that it knows by name. Nothing changes until it agrees.")
