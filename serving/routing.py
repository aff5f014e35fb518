"""Which version answers a request: the name asked for, read against the view of this worker."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from serving.http import Headers
from serving.loading.version import Version
from serving.pool import LiveModel, View
from stagedoor import names
from stagedoor.domain.refs import ModelRef
from stagedoor.domain.traffic import Route, assign
from stagedoor.errors import ModelNotFound, NotReady, VersionNotReady, VersionRefused

PINNED: Final = "pinned"


class Choice(NamedTuple):
    """The version chosen, and why. `loaded` is None where it has to be loaded first.

    `arm` is the alias or stage that led to it, or PINNED; `bucket` the traffic bucket, where a split decided.
    """

    model: str
    version: str
    arm: str
    epoch: int
    bucket: int | None
    reason: str
    loaded: Version | None

    @property
    def headers(self) -> Headers:
        """What the answer says of it."""
        return _headers(self.model, self.version, self.arm, self.epoch)


def choose(view: View, ref: ModelRef, headers: Mapping[str, str], claims: Mapping[str, Any], draw: int) -> Choice:
    """Resolve `ref`. `draw` is this request's own unit of assignment, for models that are not sticky.

    Raises NotReady, ModelNotFound, VersionNotReady and VersionRefused.
    """
    live = view.models.get(ref.name)
    if live is None:
        if view.serial == 0:
            raise NotReady
        if ref.version is None:
            raise ModelNotFound(str(ref))
        return Choice(ref.name, ref.version, PINNED, view.serial, None, "names a version", None)
    if ref.is_plain:
        return _by_traffic(live, headers, claims, draw)
    return _by_name(live, ref)


def _by_traffic(live: LiveModel, headers: Mapping[str, str], claims: Mapping[str, Any], draw: int) -> Choice:
    route = live.entry.route
    if route is None:
        raise _nothing_live(live)
    assignment = assign(route, _unit(route, headers, claims, draw))
    arm = assignment.arm
    bucket = assignment.bucket if len(route.arms) > 1 else None
    return Choice(live.entry.name, arm.version, arm.name, route.epoch, bucket, assignment.reason, live.loaded.get(arm.version))


def _unit(route: Route, headers: Mapping[str, str], claims: Mapping[str, Any], draw: int) -> bytes:
    """What is assigned: the caller's key where the model is sticky and the caller has one, else this request alone."""
    sticky = route.sticky
    if sticky is not None:
        key = headers.get(sticky.key.lower()) if sticky.source == "header" else claims.get(sticky.key)
        if key is not None and key != "":
            return str(key).encode()
    return draw.to_bytes(16, "big")


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
    return Choice(entry.name, version, arm, epoch, None, reason, live.loaded.get(version))


def _nothing_live(live: LiveModel) -> Exception:
    """Why a model without a route has none: its version was refused, is on its way, or nobody named one."""
    entry = live.entry
    version = entry.aliases.get(names.CHAMPION) or entry.stages.get(names.PRODUCTION)
    found = entry.versions.get(version) if version else None
    if found is None:
        return ModelNotFound(entry.name)
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
