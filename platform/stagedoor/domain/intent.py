"""What people asked for in MLflow: the values the Registry port hands over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from stagedoor import names

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


@dataclass(frozen=True, slots=True)
class Author:
    """Who let an alias or stage name `version` (None: nothing), and when (an aware time)."""

    subject: str
    version: str | None
    at: datetime

    @classmethod
    def read(cls, text: str) -> "Author | None":
        """Read a tag `stagedoor.by.<alias>`; None if it is not as the guarded MLflow server writes it."""
        try:
            subject, version, moment = text.split("\t")
            at = datetime.fromisoformat(moment)
        except ValueError:
            return None
        return cls(subject, version or None, at) if subject and at.tzinfo is not None else None

    def __str__(self) -> str:
        moment = self.at.astimezone(UTC).isoformat(timespec="milliseconds")
        return f"{self.subject}\t{self.version or ''}\t{moment}"


def author_of(model: RegisteredModel, name: str) -> Author | None:
    """Who let the alias (or stage) `name` mean what it means now.

    None if nobody wrote that down: a tag that speaks of another version belongs to an earlier move.
    """
    author = Author.read(model.tags.get(f"{names.TAG_BY_PREFIX}{name}", ""))
    means = model.aliases.get(name, model.stages.get(name))
    return author if author is not None and author.version == means else None
