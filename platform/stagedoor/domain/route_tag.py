"""The tag `stagedoor.route`: the one sentence by which the control plane tells every gateway what to serve."""

import json
import math
from typing import Any, Final, cast

from stagedoor import names
from stagedoor.domain.refs import check_alias, check_version
from stagedoor.domain.traffic import Arm, Drill, Rolling, Route, Sticky
from stagedoor.errors import InvalidTag, MalformedName

FORMAT: Final = 1
MAX_COUNT: Final = 2**53
"""What every JSON reader still reads exactly."""


def write_route(route: Route) -> str:
    """The tag's value: JSON in one line, with a fixed order of members, so that equal routes are equal texts."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "epoch": route.epoch,
        "arms": [[arm.name, arm.version, arm.weight] for arm in route.arms],
        "salt": route.salt.hex(),
        "reason": route.reason,
        "by": route.by,
        "sticky": str(route.sticky) if route.sticky else None,
        "aliases": dict(route.aliases),
        "watched": route.watched,
        "slow_seconds": route.slow_seconds,
        "warm": list(route.warm),
        "shield": route.shield,
        "mirror": route.mirror,
        "rolling": [route.rolling.version, list(route.rolling.nodes)] if route.rolling else None,
        "drill": _drill_out(route.drill) if route.drill else None,
    }
    return json.dumps({key: value for key, value in data.items() if _says(value)}, ensure_ascii=False)


def read_route(text: str) -> Route:
    """Read the tag. Raises InvalidTag, which says only that it is not a controller's: people do not write it."""
    try:
        data = json.loads(text)
        return _route(data)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, MalformedName, InvalidTag) as error:
        raise InvalidTag(names.TAG_ROUTE, "is not as the controller writes it; it will be written anew") from error


def _says(value: object) -> bool:
    """Whether the value differs from the member's default. Zero does."""
    return value is not None and value is not False and value not in ("", [], {})


def _route(data: dict[str, Any]) -> Route:
    if data["format"] != FORMAT:
        raise ValueError("another format")
    rolling = data.get("rolling")
    drill = data.get("drill")
    slow = data.get("slow_seconds")
    sticky = data.get("sticky")
    return Route(
        epoch=_count(data["epoch"]),
        arms=tuple(Arm(check_alias(name), check_version(version), _count(weight)) for name, version, weight in data["arms"]),
        salt=_salt(data["salt"]),
        sticky=Sticky.parse(sticky) if sticky is not None else None,
        reason=_text(data.get("reason", "")),
        by=_text(data.get("by", "")),
        issued=True,
        aliases=tuple((check_alias(alias), check_version(version)) for alias, version in data.get("aliases", {}).items()),
        watched=bool(data.get("watched", False)),
        slow_seconds=_seconds(slow) if slow is not None else None,
        warm=tuple(map(check_version, data.get("warm", ()))),
        shield=bool(data.get("shield", False)),
        mirror=check_version(data["mirror"]) if "mirror" in data else None,
        rolling=Rolling(check_version(rolling[0]), tuple(map(_text, rolling[1]))) if rolling is not None else None,
        drill=read_drill(drill) if drill is not None else None,
    )


def _drill_out(drill: Drill) -> dict[str, Any]:
    return {"fault": drill.fault, "rate": drill.rate, "cohort": drill.cohort, "until": drill.until}


def read_drill(data: dict[str, Any]) -> Drill:
    """A drill from its JSON. Raises KeyError, TypeError and ValueError."""
    if data["fault"] not in {"error", "latency", "nan"} or not 0 <= float(data["rate"]) <= 1:
        raise ValueError("no such fault")
    return Drill(data["fault"], float(data["rate"]), _text(data["cohort"]), _seconds(data["until"]))


def _salt(text: str) -> bytes:
    salt = bytes.fromhex(text)
    if not 1 <= len(salt) <= 64:  # noqa: PLR2004  what BLAKE2b takes as a key
        raise ValueError("a salt has 1 to 64 bytes")
    return salt


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # half a surrogate pair is JSON, and nothing that could be sent on
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise TypeError("not a count")
    return value


def _seconds(value: object) -> float:
    seconds = float(cast("float", value))  # what is no number raises
    if not 0 <= seconds < math.inf:
        raise ValueError("not a time")
    return seconds
