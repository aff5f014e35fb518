"""What one machine serves at one moment. The resolver writes it, the workers read it; nothing else passes between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from stagedoor.domain.intent import EMPTY
from stagedoor.domain.traffic import Route
from stagedoor.domain.tuning import PLAIN, Tuning

State = Literal["pending", "ready", "refused"]


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One version on this machine.

    `ready`: verified files lie in the store under `digest`, and a probe has loaded and warmed it using about
    `memory_bytes`; `compiled` is the digest of the graph that stands in for them, also in the store, "" if there is none.
    `refused`: `code` and `reason` say why; `code` is "model_not_found" if the registry has no such version.
    `pending`: on its way, with `code` and `reason` when something holds it up that is not its own fault.
    """

    version: str
    state: State
    digest: str = ""
    flavor: str = ""
    memory_bytes: int = 0
    code: str = ""
    reason: str = ""
    compiled: str = ""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model: what its names mean now, and how plain-name traffic splits.

    `aliases` and `stages` are the effective ones: a name whose new version is not ready still means the old one.
    `policy` and `sticky` are the last well-formed tags; `issued` is the last route of a controller, as its tag stood, which
    need not be in force yet. `problems` are sentences about what is asked for and not done. `created_at` tells the model
    from another that had its name before (see RegisteredModel); 0 where that is not known. `tuning` is how its versions are
    to be run, by the last well-formed tags.
    """

    name: str
    aliases: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    stages: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    policy: str | None = None
    sticky: str | None = None
    route: Route | None = None
    versions: Mapping[str, VersionEntry] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()
    issued: str | None = None
    created_at: int = 0
    tuning: Tuning = PLAIN


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All models at one serial. Serials only grow.

    The epoch of a route that no controller issued is the serial at which it last changed.
    """

    serial: int
    models: Mapping[str, ModelEntry]


NOTHING: Final = Snapshot(0, MappingProxyType({}))
