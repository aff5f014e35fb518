"""One log line for every change of what this machine serves."""

from stagedoor.domain.snapshot import ModelEntry
from stagedoor.domain.traffic import Route
from stagedoor.telemetry import get_logger


class Journal:
    """Says what changed between two entries of one model."""

    def __init__(self) -> None:
        self._log = get_logger()

    def record(self, serial: int, before: ModelEntry | None, after: ModelEntry | None) -> None:
        """Log each difference; None stands for a model that is not there."""
        entry = after or before
        if entry is None:
            return
        old, new = before or ModelEntry(entry.name), after or ModelEntry(entry.name)
        log = self._log.bind(model=entry.name, serial=serial)
        if after is None and (old.route or old.aliases):
            log.warning("model_gone", why="the registry no longer has it")
        if old.route != new.route:
            shown = {"from": _split(old.route), "to": _split(new.route)}
            why = new.route.reason if new.route else "; ".join(new.problems) or "no version is asked for"
            log.info("route_changed", epoch=new.route.epoch if new.route else None, why=why, **shown)
        for alias in sorted(old.aliases.keys() | new.aliases.keys()):
            versions = old.aliases.get(alias), new.aliases.get(alias)
            if versions[0] != versions[1]:
                log.info("alias_moved", alias=alias, **{"from": versions[0], "to": versions[1]})
        for version, found in new.versions.items():
            if old.versions.get(version) != found:
                level = log.warning if found.state == "refused" else log.info
                level(f"version_{found.state}", version=version, digest=found.digest, code=found.code, why=found.reason)
        for problem in new.problems:
            if problem not in old.problems:
                log.warning("intent_problem", why=problem)


def _split(route: Route | None) -> dict[str, int] | None:
    return {f"{arm.name}={arm.version}": arm.weight for arm in route.arms} if route else None
