"""Which version somebody means who says `8` or `1.4.2`."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import semver

from registry_hooks.desk.ports import Books
from stagedoor import names
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.refs import check_version
from stagedoor.errors import MalformedName, ModelNotFound, RegistryNotFound

LOOKED_AT: Final = 200
"""Most versions whose tag is read, those that were live before all others, then from the newest down."""


def version_for(registry: Books, model: RegisteredModel, to: str, lives: Iterable[str]) -> str:
    """The number of the version that `to` names: by number, or by its tag `semver` (a leading v does not matter).

    Of several with the same tag the one that was live last counts. Raises MalformedName and ModelNotFound.
    """
    if to.isascii() and to.isdecimal():
        try:
            return registry.version(model.name, check_version(to)).version
        except RegistryNotFound as error:
            raise ModelNotFound(f"{model.name}/{to}") from error
    wanted = _semver(to)
    if wanted is None:
        raise MalformedName("version", "a version number, or a semantic version such as 1.4.2")
    for version in islice(_candidates(model, lives), LOOKED_AT):
        try:
            tags = registry.version(model.name, version).tags
        except RegistryNotFound:
            continue
        if _semver(tags.get(names.TAG_SEMVER, "")) == wanted:
            return version
    raise ModelNotFound(f"{model.name}/{wanted}")


def _candidates(model: RegisteredModel, lives: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for version in (*lives, *map(str, range(int(model.newest or 0), 0, -1))):
        if version not in seen:
            seen.add(version)
            yield version


def _semver(text: str) -> semver.Version | None:
    """Compared by precedence, so that build metadata does not matter."""
    try:
        return semver.Version.parse(text.strip().removeprefix("v"))
    except ValueError:
        return None
