"""What `-C name=value` says, read once. Values come as strings, cut at their first `=`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from semver import Version

from stagedoor import names
from stagedoor.domain.refs import check_alias
from stagedoor.domain.strategy import Strategy, read_duration
from stagedoor.domain.traffic import Sticky, TrafficPolicy
from stagedoor.errors import InvalidTag, MalformedName
from stagedoor.mlflow_deployments.failure import DeploymentFailed

TIMEOUT_SECONDS: Final = 3600.0
DELETE_SECONDS: Final = 120.0
OFF: Final = "off"

_WATCHING: Final = ("wait", "timeout")
_CREATE: Final = ("strategy", "alias", "semver", *_WATCHING)
_TRAFFIC: Final = ("traffic", "sticky", *_WATCHING)
_DELETE: Final = ("confirm", *_WATCHING)

Config = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Patience:
    """Whether to wait for the end, and for how many seconds at most."""

    wait: bool = True
    seconds: float = TIMEOUT_SECONDS

    @classmethod
    def of(cls, config: Config, seconds: float = TIMEOUT_SECONDS) -> Self:
        """From `wait` and `timeout`. Raises DeploymentFailed."""
        text = config.get("timeout")
        if text is not None:
            try:
                seconds = read_duration(str(text))
            except ValueError as error:
                raise DeploymentFailed(f"timeout: {error}.") from error
        return cls(_truth("wait", config.get("wait", True)), seconds)


@dataclass(frozen=True, slots=True)
class Promotion:
    """How to promote. `strategy` is as in the tag `stagedoor.rollout`; None leaves what the tag says."""

    strategy: str | None
    alias: str
    semver: str | None
    patience: Patience

    @classmethod
    def of(cls, config: Config) -> Self:
        """From the options of `create`. Settings of the strategy may stand in it or beside it. Raises DeploymentFailed."""
        beside = {key: str(value) for key, value in config.items() if key not in _CREATE}
        strategy = config.get("strategy")
        if beside and strategy is None:
            raise _unknown(beside, _CREATE, "Settings of a strategy need -C strategy=... beside them.")
        text = None if strategy is None else " ".join([str(strategy), *(f"{key}={value}" for key, value in beside.items())])
        try:
            alias = check_alias(str(config.get("alias", names.CHAMPION)))
            if text is not None:
                Strategy.parse(text)
        except (InvalidTag, MalformedName) as error:
            options = f" The other options are {', '.join(_CREATE)}." if beside else ""
            raise DeploymentFailed(f"{error}.{options}") from error
        return cls(text, alias, _semver(config.get("semver")), Patience.of(config))


@dataclass(frozen=True, slots=True)
class Split:
    """A split by hand; `policy` None ends it. `sticky` None leaves it as it is, OFF ends it."""

    policy: str | None
    sticky: str | None
    patience: Patience

    @classmethod
    def of(cls, config: Config) -> Self:
        """From the options of `update` without a model. Raises DeploymentFailed."""
        _only(config, _TRAFFIC)
        if "traffic" not in config:
            raise DeploymentFailed(
                "Say what to update: another version with -m models:/NAME/VERSION, or the split with "
                "-C traffic=champion=90,challenger=10 (or -C traffic=off)."
            )
        traffic, sticky = str(config["traffic"]), config.get("sticky")
        try:
            if traffic != OFF:
                TrafficPolicy.parse(traffic)
            if sticky is not None and sticky != OFF:
                Sticky.parse(str(sticky))
        except InvalidTag as error:
            raise DeploymentFailed(f"{error}.") from error
        return cls(None if traffic == OFF else traffic, None if sticky is None else str(sticky), Patience.of(config))


def removal(config: Config) -> Patience:
    """From the options of `delete`. Raises DeploymentFailed unless the removal is confirmed."""
    _only(config, _DELETE)
    if not _truth("confirm", config.get("confirm", False)):
        raise DeploymentFailed(
            "This takes the model out of service: callers get 404 from then on. Nothing is deleted in MLflow. "
            "If that is what you want, say -C confirm=true."
        )
    return Patience.of(config, DELETE_SECONDS)


def _only(config: Config, known: tuple[str, ...]) -> None:
    unknown = [key for key in config if key not in known]
    if unknown:
        raise _unknown(unknown, known)


def _unknown(found: Mapping[str, str] | list[str], known: tuple[str, ...], more: str = "") -> DeploymentFailed:
    return DeploymentFailed(f"There is no option {', '.join(sorted(found))} here. There are {', '.join(known)}. {more}".strip())


def _truth(key: str, value: object) -> bool:
    truths = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = truths.get(str(value).lower())
    if found is None:
        raise DeploymentFailed(f"{key}: write true or false.")
    return found


def _semver(value: object) -> str | None:
    if value is None:
        return None
    if not Version.is_valid(str(value)):
        raise DeploymentFailed("semver: write a semantic version, as in 1.4.2.")
    return str(value)
