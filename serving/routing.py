"""Which version answers a request: the name asked for, read against the view of this worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

from serving.drill import Fault, fault_for
from serving.http import Headers
from serving.loading.version import Version
from serving.pool import LiveModel, View
from stagedoor import names
from stagedoor.domain.refs import ModelRef
from stagedoor.domain.traffic import Arm, Route, assign, point_of
from stagedoor.domain.tuning import PLAIN, Tuning
from stagedoor.errors import ModelNotFound, NotReady, VersionNotReady, VersionRefused

PINNED: Final = "pinned"
COHORT: Final = names.HEADER_COHORT.lower()


class Trial(NamedTuple):
    """What a route asks for beyond an answer: evidence, a stand-in, a copy for another version, a fault.

    `epoch` is the label under which the outcome is evidence, "" where it is none. `fallback` answers where the choice fails.
    `salt` is that of the experiment. `mirror` is a version that gets a copy, `mirrored` the same where it is in memory. `fault`
    is what a drill does to this request.
    """

    epoch: str = ""
    slow_seconds: float | None = None
    fallback: "Choice | None" = None
    salt: bytes = b""
    mirror: str | None = None
    mirrored: Version | None = None
    fault: Fault | None = None


@dataclass(slots=True)
class Choice:
    """The version chosen.

    One object serves all requests that fall to an arm of a split; for a drill, and for who names a version, alias or stage, one
    is made for each request. `arm` is the alias or stage that led to it, or PINNED. `loaded` is None where it has to be loaded
    first. `trial` is None on routes that ask for an answer and nothing else. `tuning` is how the model's tags want it run.
    `headers` is what the answer says of it. Nobody changes one; it is not frozen, since that makes the making dearer.
    """

    model: str
    version: str
    arm: str
    epoch: int
    loaded: Version | None
    trial: Trial | None = None
    tuning: Tuning = PLAIN
    headers: Headers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.headers = _headers(self.model, self.version, self.arm, self.epoch)


class Routed(NamedTuple):
    """A choice, and what is this request's alone: its bucket, where a split led there, and its unit.

    That is the place of a sticky caller in the experiment, for whom only the first outcome counts; None where each request is
    a unit of its own.
    """

    choice: Choice
    bucket: int | None = None
    unit: int | None = None


class Asker(Protocol):
    """What routing needs to know of a request."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case names."""

    @property
    def claims(self) -> Mapping[str, Any]:
        """Of the caller's token."""

    @property
    def draw(self) -> int:
        """This request's own unit of assignment, for models that are not sticky."""

    @property
    def at(self) -> float:
        """Seconds since the epoch."""


def choose(view: View, ref: ModelRef, asker: Asker) -> Routed:
    """Resolve `ref`. Raises NotReady, ModelNotFound, VersionNotReady and VersionRefused."""
    live = view.models.get(ref.name)
    if live is None:
        if view.serial == 0:
            raise NotReady
        if ref.version is None:
            raise ModelNotFound(str(ref))
        return Routed(Choice(ref.name, ref.version, PINNED, view.serial, None))
    if ref.is_plain:
        route = live.entry.route
        if route is None:
            raise _nothing_live(live)
        return _by_traffic(live, route, asker, stale=view.stale)
    return Routed(_by_name(live, ref))


def _by_traffic(live: LiveModel, route: Route, asker: Asker, *, stale: bool) -> Routed:
    if (stale or route.drill is not None) and _is_kept_from_split(route, asker, stale=stale):
        return Routed(_choice(live, route, route.stable, Trial() if _asks_for_more(route) else None))
    if len(route.arms) == 1:
        arm, bucket, point = route.stable, None, None
    else:
        arm, bucket, point = assign(route, _unit(route, asker))
    unit = _counted_unit(route, asker, point) if route.sticky is not None and route.watched else None
    if route.drill is not None:
        return Routed(_choice(live, route, arm, _drilled(live, route, arm, asker)), bucket, unit)
    same: Choice | None = live.worked_out.get(arm.name)
    if same is None:
        same = live.worked_out[arm.name] = _choice(live, route, arm, _trial(live, route, arm))
    return Routed(same, bucket, unit)


def _asks_for_more(route: Route) -> bool:
    """Whether the route asks for more than an answer."""
    return route.watched or route.shield or route.mirror is not None or route.drill is not None


def _drilled(live: LiveModel, route: Route, arm: Arm, asker: Asker) -> Trial | None:
    """What a drill's route asks for of this request alone."""
    usual = _trial(live, route, arm)
    if usual is None or route.drill is None or arm is route.stable:
        return usual
    return usual._replace(fault=fault_for(route.drill, asker.draw))


def _trial(live: LiveModel, route: Route, arm: Arm) -> Trial | None:
    """What the route asks for of any request to `arm`."""
    if not _asks_for_more(route):
        return None
    return Trial(
        epoch=str(route.epoch) if route.watched else "",
        slow_seconds=route.slow_seconds,
        fallback=_choice(live, route, route.stable, None) if route.shield and arm is not route.stable else None,
        salt=route.salt,
        mirror=route.mirror,
        mirrored=live.loaded.get(route.mirror) if route.mirror is not None else None,
    )


def _choice(live: LiveModel, route: Route, arm: Arm, trial: Trial | None) -> Choice:
    entry = live.entry
    return Choice(entry.name, arm.version, arm.name, route.epoch, live.loaded.get(arm.version), trial, entry.tuning)


def _is_kept_from_split(route: Route, asker: Asker, *, stale: bool) -> bool:
    """Whether this request belongs to the stable arm, whatever its unit.

    Without news of the registry nobody could end a split; a drill is for its cohort alone, until it ends.
    """
    if len(route.arms) > 1 and route.issued and stale:
        return True
    drill = route.drill
    return drill is not None and (asker.at >= drill.until or asker.headers.get(COHORT) != drill.cohort)


def _unit(route: Route, asker: Asker) -> bytes:
    """What is assigned: the caller's key where the model is sticky and the caller has one, else this request alone."""
    sticky = route.sticky
    if sticky is not None:
        key = asker.headers.get(sticky.key.lower()) if sticky.source == "header" else asker.claims.get(sticky.key)
        if key is not None and key != "":
            return str(key).encode()
    return asker.draw.to_bytes(16, "big")


def _counted_unit(route: Route, asker: Asker, point: int | None) -> int:
    """The unit whose first outcome alone is evidence."""
    return point_of(route.salt, _unit(route, asker)) if point is None else point


def _by_name(live: LiveModel, ref: ModelRef) -> Choice:
    entry = live.entry
    if ref.alias is not None:
        version, arm = entry.aliases.get(ref.alias), ref.alias
    elif ref.stage is not None:
        version, arm = entry.stages.get(ref.stage), ref.stage
    else:
        version, arm = ref.version, PINNED
    if version is None:
        raise ModelNotFound(str(ref))
    epoch = entry.route.epoch if entry.route else 0
    return Choice(entry.name, version, arm, epoch, live.loaded.get(version), None, entry.tuning)


def _nothing_live(live: LiveModel) -> Exception:
    """Why a model without a route has none: its version was refused, is on its way or in the gates, or nobody named one."""
    entry = live.entry
    version = entry.aliases.get(names.CHAMPION) or entry.stages.get(names.PRODUCTION)
    found = entry.versions.get(version) if version else None
    if found is None:
        # Somebody asks for a version of it, and the controller has yet to let it answer.
        return VersionNotReady(entry.name) if entry.problems and entry.versions else ModelNotFound(entry.name)
    if found.state == "refused":
        return VersionRefused(f"{entry.name}/{found.version}", found.reason)
    return VersionNotReady(f"{entry.name}/{found.version}")


@lru_cache(maxsize=1024)
def _headers(model: str, version: str, arm: str, epoch: int) -> Headers:
    return (
        (names.HEADER_MODEL_NAME, model if model.isascii() else quote(model)),
        (names.HEADER_MODEL_VERSION, version),
        (names.HEADER_MODEL_ARM, arm if arm.isascii() else quote(arm)),
        (names.HEADER_ROUTE_EPOCH, str(epoch)),
    )
