"""Reading intent: the models in care at each look, and one page of all the others."""

from collections.abc import Collection, Mapping

from stagedoor.domain.intent import RegisteredModel
from stagedoor.registry.port import Registry
from stagedoor.registry.reading import read_registry
from stagedoor.registry.sweep import Sweep


class Reader:
    """Knows what the registry said last. `patterns` are those of the models to follow."""

    def __init__(self, registry: Registry, patterns: Collection[str] = ("*",)) -> None:
        self._registry = registry
        self._patterns = patterns
        self._models: Mapping[str, RegisteredModel] = {}
        self._sweep = Sweep()
        self._gone: frozenset[str] = frozenset()

    def read(self, care: Collection[str]) -> Mapping[str, RegisteredModel]:
        """Every model known, those in `care` as of now. Raises RegistryError, and then forgets nothing."""
        served = frozenset(care) - self._gone  # what is gone is noticed by a sweep, should it come back
        reading = read_registry(self._registry, self._patterns, frozenset(self._models), served, self._sweep)
        known = {**self._models, **reading.models}
        self._models = {name: model for name, model in known.items() if name not in reading.gone}
        self._sweep = reading.sweep or Sweep()
        self._gone = (self._gone | reading.gone) - reading.models.keys()
        return self._models
