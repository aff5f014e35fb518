"""Which version answers a request: the name asked for, read against the view of this worker."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

from serving.drill import Fault, fault_for
from serving.http import Headers
from serving.loading.version import Version
from serving.pool import LiveModel, View
from stagedoor import names
from stagedoor.domain.refs import ModelRef
from stagedoor.domain.traffic import Assignment, Route, assign, point_of
from stagedoor.domain.tuning import PLAIN, Tuning
from stagedoor.errors import ModelNotFound, NotReady, VersionNotReady, VersionRefused

PINNED: Final = "pinned"
COHORT: Final = names.HEADER_COHORT.lower()


class Trial(NamedTuple):
    """What a route asks for beyond an answer: evidence, a stand-in, a copy for another version, a fault.

    `epoch` is the label under which the outcome is evidence, "" where it is none. `fallback` answers where the choice fails.
    `unit` is the place of a sticky caller in the experiment of `salt`, for whom only the first outcome counts. `mirror` is a
    version that gets a copy, `mirrored` the same where it is in memory. `fault` is what a drill does to this request.
    """

    epoch: str = ""
    slow_seconds: float | None = None
    fallback: "Choice | None" = None
    salt: bytes = b""
    unit: int | None = None
    mirror: str | None = None
    mirrored: Version | None = None
    fault: Fault | None = None


class Choice(NamedTuple):
    """The version chosen, and why. `loaded` is None where it has to be loaded first.

    `arm` is the alias or stage that led to it, or PINNED; `bucket` the traffic bucket, where a split decided. `trial` is None
    on routes that ask for an answer and nothing else. `tuning` is how the model's tags want it run.
    """

    model: str
    version: str
    arm: str
    epoch: int
    bucket: int | None
    reason: str
    loaded: Version | None
    trial: Trial | None = None
    tuning: Tuning = PLAIN

    @property
    def headers(self) -> Headers:
        """What the answer says of it."""
        return _headers(self.model, self.version, self.arm, self.epoch)


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


def choose(view: View, ref: ModelRef, asker: Asker) -> Choice:
    """Resolve `ref`. Raises NotReady, ModelNotFound, VersionNotReady and VersionRefused."""
    live = view.models.get(ref.name)
    if live is None:
        if view.serial == 0:
            raise NotReady
        if ref.version is None:
            raise ModelNotFound(str(ref))
        return Choice(ref.name, ref.version, PINNED, view.serial, None, "names a version", None)
    if ref.is_plain:
        route = live.entry.route
        if route is None:
            raise _nothing_live(live)
        return _by_traffic(live, route, asker, stale=view.stale)
    return _by_name(live, ref)


def _by_traffic(live: LiveModel, route: Route, asker: Asker, *, stale: bool) -> Choice:
    asks_no_more = not (route.watched or route.shield or route.mirror is not None or route.drill is not None)
    if len(route.arms) == 1 and asks_no_more:
        only: Choice | None = live.worked_out.get("only arm")
        if only is None:
            only = live.worked_out["only arm"] = _choice(live, route, assign(route, b""))
        return only
    stable = route.stable
    kept = _kept_from_split(route, asker, stale=stale)
    if kept is not None:
        return _choice(live, route, Assignment(stable, 0, kept), None if asks_no_more else Trial())
    assignment = assign(route, _unit(route, asker))
    if asks_no_more:
        return _choice(live, route, assignment)
    return _choice(live, route, assignment, _trial(live, route, assignment, asker))


def _trial(live: LiveModel, route: Route, assignment: Assignment, asker: Asker) -> Trial:
    arm = assignment.arm
    tried = arm is not route.stable
    if route.sticky is None and not (tried and (route.shield or route.drill is not None)):
        same: Trial | None = live.worked_out.get(arm.name)
        if same is None:
            same = live.worked_out[arm.name] = _usual_trial(live, route)
        return same
    fallback = (
        _choice(live, route, assignment._replace(arm=route.stable, reason="stands in")) if tried and route.shield else None
    )
    return _usual_trial(live, route)._replace(
        fallback=fallback,
        unit=_counted_unit(route, asker, assignment.point),
        fault=fault_for(route.drill, asker.draw) if tried and route.drill is not None else None,
    )


def _usual_trial(live: LiveModel, route: Route) -> Trial:
    """What the route asks for of any of its requests."""
    return Trial(
        epoch=str(route.epoch) if route.watched else "",
        slow_seconds=route.slow_seconds,
        salt=route.salt,
        mirror=route.mirror,
        mirrored=live.loaded.get(route.mirror) if route.mirror is not None else None,
    )


def _choice(live: LiveModel, route: Route, assignment: Assignment, trial: Trial | None = None) -> Choice:
    arm, bucket, reason, point = assignment
    split = bucket if point is not None else None
    entry, loaded = live.entry, live.loaded.get(arm.version)
    return Choice(entry.name, arm.version, arm.name, route.epoch, split, reason, loaded, trial, entry.tuning)


def _kept_from_split(route: Route, asker: Asker, *, stale: bool) -> str | None:
    """Why this request belongs to the stable arm, whatever its unit; None where the split decides."""
    if len(route.arms) > 1 and route.issued and stale:
        return "no news of the registry: stable arm only"
    drill = route.drill
    if drill is not None and asker.at >= drill.until:
        return "the drill has ended"
    if drill is not None and asker.headers.get(COHORT) != drill.cohort:
        return "not in the drill's cohort"
    return None


def _unit(route: Route, asker: Asker) -> bytes:
    """What is assigned: the caller's key where the model is sticky and the caller has one, else this request alone."""
    sticky = route.sticky
    if sticky is not None:
        key = asker.headers.get(sticky.key.lower()) if sticky.source == "header" else asker.claims.get(sticky.key)
        if key is not None and key != "":
            return str(key).encode()
    return asker.draw.to_bytes(16, "big")


def _counted_unit(route: Route, asker: Asker, point: int | None) -> int | None:
    """The unit whose first outcome alone is evidence; None on routes where each request is a unit of its own."""
    if route.sticky is None or not route.watched:
        return None
    return point_of(route.salt, _unit(route, asker)) if point is None else point


def _by_name(live: LiveModel, ref: ModelRef) -> Choice:
    entry = live.entry
    if ref.alias is not None:
        version, arm, reason = entry.aliases.get(ref.alias), ref.alias, "names an alias"
    elif ref.stage is not None:
        version, arm, reason = entry.stages.get(ref.stage), ref.stage, "names a stage"
    else:
        version, arm, reason = ref.version, PINNED, "names a version"
    if version is None:
        raise ModelNotFound(str(ref))
    epoch = entry.route.epoch if entry.route else 0
    return Choice(entry.name, version, arm, epoch, None, reason, live.loaded.get(version), None, entry.tuning)


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
