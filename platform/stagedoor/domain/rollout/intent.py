"""What people want of one model, read from its aliases, stages and tags."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from stagedoor import names
from stagedoor.domain.intent import EMPTY, RegisteredModel, author_of
from stagedoor.domain.refs import check_version
from stagedoor.domain.route_tag import read_drill, read_route
from stagedoor.domain.strategy import Strategy
from stagedoor.domain.traffic import Drill, Route, Sticky, TrafficPolicy
from stagedoor.errors import InvalidTag, MalformedName

T = TypeVar("T")

ON: Final = frozenset({"on", "true", "yes"})
OFF: Final = frozenset({"off", "false", "no"})
UNKNOWN_AUTHOR: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Intent:
    """One model as people want it.

    `wanted` is the version that should be live: that of the alias champion, else of the stage Production (`by_stage`).
    `who` maps an alias or stage to who moved it last. `strategy` is the text in force for new rollouts. `route` is the tag
    as it stands, None where there is none or none that can be read. `problems` are what cannot be understood; while there are
    any, nothing new begins.
    """

    model: str
    wanted: str | None = None
    by_stage: bool = False
    who: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    aliases: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    policy: TrafficPolicy | None = None
    sticky: Sticky | None = None
    strategy: str = "canary"
    mirror: str | None = None
    shield: bool = True
    paused: bool = False
    finish: str | None = None
    withdraw: bool = False
    control: str | None = None
    drill: Drill | None = None
    drill_by: str = ""
    has_drill_tag: bool = False
    route: Route | None = None
    route_text: str | None = None
    problems: tuple[str, ...] = ()

    def author(self) -> str:
        """Who made `wanted` what it is."""
        return self.who.get(names.PRODUCTION if self.by_stage else names.CHAMPION, UNKNOWN_AUTHOR)

    @property
    def governed(self) -> tuple[str, ...]:
        """The aliases that a route answers for: nobody gets an ungated version under one of them."""
        split = [alias for alias, _ in self.policy.weights] if self.policy else []
        return tuple(dict.fromkeys((names.CHAMPION, *split, names.CHALLENGER)))


def read_intent(model: RegisteredModel, default_strategy: str) -> Intent:
    """Read one model. Never raises: what cannot be read is a problem."""
    problems: list[str] = []
    tags = model.tags

    def read(key: str, parse: Callable[[str], T], otherwise: T) -> T:
        text = tags.get(key)
        if text is None:
            return otherwise
        try:
            return parse(text)
        except InvalidTag as error:
            problems.append(str(error))
            return otherwise

    wanted = model.aliases.get(names.CHAMPION)
    by_stage = wanted is None and names.PRODUCTION in model.stages
    if by_stage:
        wanted = model.stages[names.PRODUCTION]
    strategy = tags.get(names.TAG_ROLLOUT, default_strategy)
    read(names.TAG_ROLLOUT, Strategy.parse, None)
    policy = read(names.TAG_TRAFFIC, TrafficPolicy.parse, None)
    if policy is not None and names.TAG_ROLLOUT in tags:
        problems.append(
            f"Tags {names.TAG_TRAFFIC} and {names.TAG_ROLLOUT} contradict each other: the first drives the traffic by hand. "
            "Remove one of them."
        )
    nobody: tuple[Drill | None, str] = (None, "")
    drill, drill_by = read(names.TAG_DRILL, _read_drill, nobody)
    control = read(names.TAG_CONTROL, _read_control, None)
    route_text = tags.get(names.TAG_ROUTE)
    return Intent(
        model.name,
        wanted,
        by_stage,
        _authors(model),
        model.aliases,
        policy,
        read(names.TAG_STICKY, Sticky.parse, None),
        strategy,
        _mirror(model, problems),
        read(names.TAG_SHIELD, _read_switch, otherwise=True),
        control == ("pause", ""),
        control[1] if control is not None and control[0] == "promote" else None,
        control == ("withdraw", ""),
        tags.get(names.TAG_CONTROL),
        drill,
        drill_by,
        names.TAG_DRILL in tags,
        _route(route_text),
        route_text,
        tuple(problems),
    )


def _mirror(model: RegisteredModel, problems: list[str]) -> str | None:
    alias = model.tags.get(names.TAG_SHADOW)
    if alias is None:
        return None
    version = model.aliases.get(alias.strip())
    if version is None:
        problems.append(f"Tag {names.TAG_SHADOW}: write an alias that some version has, such as {names.CHALLENGER}")
    return version


def _route(text: str | None) -> Route | None:
    """A route that cannot be read is as good as none: the controller writes its own again."""
    try:
        return read_route(text) if text is not None else None
    except InvalidTag:
        return None


def _authors(model: RegisteredModel) -> dict[str, str]:
    found = {name: author_of(model, name) for name in (*model.aliases, names.PRODUCTION)}
    return {name: author.subject for name, author in found.items() if author is not None}


def _read_switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in ON | OFF:
        raise InvalidTag(names.TAG_SHIELD, "write on or off")
    return word in ON


def _read_control(text: str) -> tuple[Literal["pause", "promote", "withdraw"], str]:
    word, _, rest = text.strip().partition(" ")
    try:
        if word == "promote":
            return "promote", check_version(rest.strip())
    except MalformedName as error:
        raise InvalidTag(names.TAG_CONTROL, "write the version as well, as in promote 8") from error
    if word == "pause" and not rest:
        return "pause", ""
    if word == "withdraw" and not rest:
        return "withdraw", ""
    raise InvalidTag(names.TAG_CONTROL, "write pause, promote N or withdraw")


def _read_drill(text: str) -> tuple[Drill | None, str]:
    try:
        data = json.loads(text)
        return read_drill(data), str(data.get("by", ""))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidTag(names.TAG_DRILL, "is written by `stagedoor drill` alone; remove it") from error
