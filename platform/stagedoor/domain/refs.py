"""Names of models and of what one asks for, checked once at the edge. They mirror MLflow's `models:/` forms."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Self

from stagedoor import names
from stagedoor.errors import MalformedName

MAX_NAME: Final = 250
MAX_ALIAS: Final = 255
MAX_VERSION: Final = 2**63 - 1

_FORBIDDEN_IN_NAME: Final = frozenset("/\\:@?#%")
_ALIAS: Final = re.compile(r"[\w\-]+")
_RESERVED_ALIAS: Final = re.compile(r"(latest|v\d+)", re.IGNORECASE)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_STAGES: Final = {stage.lower(): stage for stage in names.STAGES}


def check_name(name: str) -> str:
    """Return `name` if a registered model can be called so, else raise MalformedName."""
    plain = 0 < len(name) <= MAX_NAME and name.strip() == name and name not in {".", ".."}
    if not plain or not _FORBIDDEN_IN_NAME.isdisjoint(name) or any(unicodedata.category(c)[0] == "C" for c in name):
        raise MalformedName("model name", f"1 to {MAX_NAME} printable characters, none of / \\ : @ ? # %")
    return name


def check_alias(alias: str) -> str:
    """Return `alias` if MLflow would take it, else raise MalformedName."""
    if len(alias) > MAX_ALIAS or not _ALIAS.fullmatch(alias):
        raise MalformedName("alias", f"1 to {MAX_ALIAS} letters, digits, underscores and dashes")
    if _RESERVED_ALIAS.fullmatch(alias):
        raise MalformedName("alias", "'latest' and 'v<digits>' are reserved by MLflow")
    return alias


def check_version(version: str) -> str:
    """Return `version` if it is a version number as MLflow writes them, else raise MalformedName."""
    if not _VERSION.fullmatch(version) or int(version) > MAX_VERSION:
        raise MalformedName("version", "a positive whole number without sign or leading zeros, or a stage")
    return version


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What a caller asks for: a plain `name`, or the name with at most one of alias, version and stage."""

    name: str
    alias: str | None = None
    version: str | None = None
    stage: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `fraud`, `fraud@champion`, `fraud/7` or `fraud/Production`. Raises MalformedName."""
        if "@" in text:
            name, _, alias = text.partition("@")
            return cls(check_name(name), alias=check_alias(alias))
        name, slash, rest = text.partition("/")
        check_name(name)
        if not slash:
            return cls(name)
        stage = _STAGES.get(rest.lower())
        if stage is not None:
            return cls(name, stage=stage)
        return cls(name, version=check_version(rest))

    @property
    def is_plain(self) -> bool:
        """Whether the traffic policy decides."""
        return self.alias is None and self.version is None and self.stage is None

    @property
    def is_pinned(self) -> bool:
        """Whether it names a version or stage, which takes the tester's rights."""
        return self.version is not None or self.stage is not None

    def __str__(self) -> str:
        if self.alias is not None:
            return f"{self.name}@{self.alias}"
        rest = self.version or self.stage
        return f"{self.name}/{rest}" if rest else self.name
