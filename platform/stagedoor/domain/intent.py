"""What people asked for in MLflow: the values the Registry port hands over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered model as one search answer shows it.

    `aliases` maps alias to version, `stages` maps stage to the newest version in it, `newest` is the highest version.
    `created_at` tells a model from another that had its name before, in which the same version numbers meant others.
    """

    name: str
    aliases: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    stages: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    newest: str | None = None
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version: where its artifacts lie (`source`, a URI), its tags, and whether its registration is `complete`."""

    name: str
    version: str
    source: str
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    complete: bool = True
