"""Reading intent: the models in care at each look, and one page of all the others."""

from collections.abc import Collection

from stagedoor.domain.intent import RegisteredModel
from stagedoor.registry.port import Registry


class Reader:
    """Knows what the registry said last. A registry of one page is read whole each time."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._models: dict[str, RegisteredModel] = {}
        self._page = ""
        self._swept: set[str] = set()

    def read(self, care: Collection[str]) -> dict[str, RegisteredModel]:
        """Every model known, those in `care` as of now. Raises RegistryError, and then forgets nothing."""
        beginning = self._page == ""
        page = self._registry.models(page=self._page)
        seen = {model.name: model for model in page.models}
        missing = [name for name in care if name not in seen] if page.next or not beginning else []
        if missing:
            found = {model.name: model for model in self._registry.models(only=missing).models}
            seen |= found
            for name in set(missing) - found.keys():
                self._models.pop(name, None)
        self._models |= seen
        self._swept = (set() if beginning else self._swept) | {model.name for model in page.models}
        if not page.next:
            self._models = {name: model for name, model in self._models.items() if name in self._swept or name in care}
            if beginning:
                self._models = seen
        self._page = page.next
        return self._models
