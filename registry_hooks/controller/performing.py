"""Carrying out steps. Each is idempotent, so that after any failure the next turn simply goes on."""

from stagedoor import names
from stagedoor.domain.rollout.steps import CheckGates, MoveAlias, MoveStage, SetRoute, Step, TagModel, TagVersion
from stagedoor.domain.route_tag import write_route
from stagedoor.errors import RegistryConflict, RegistryNotFound
from stagedoor.registry.port import RegistryWriter
from stagedoor.telemetry import get_logger


class Performer:
    """Writes to the registry. What was written is not written again, as long as this process remembers."""

    def __init__(self, registry: RegistryWriter) -> None:
        self._registry = registry
        self._tagged: set[tuple[str, TagVersion]] = set()
        self._log = get_logger()

    def perform(self, model: str, steps: tuple[Step, ...]) -> None:
        """Carry out `steps` of one model in order. Raises RegistryError at the first that fails; those after it wait."""
        for step in steps:
            if isinstance(step, TagVersion):
                self._tag(model, step)
            elif not isinstance(step, CheckGates):
                self._change(model, step)
                self._log.info("carried_out", model=model, step=type(step).__name__)

    def _change(self, model: str, step: SetRoute | MoveAlias | MoveStage | TagModel) -> None:
        registry = self._registry
        if isinstance(step, SetRoute):
            registry.tag_model(model, names.TAG_ROUTE, write_route(step.route) if step.route else None)
        elif isinstance(step, MoveAlias):
            try:
                registry.move_alias(model, step.alias, step.version, expected=step.expected)
            except RegistryConflict:
                self._log.info("alias_left_alone", model=model, alias=step.alias, why="somebody else has moved it")
        elif isinstance(step, MoveStage):
            registry.move_stage(model, step.version, step.stage)
        else:
            registry.tag_model(model, step.key, step.value)

    def _tag(self, model: str, step: TagVersion) -> None:
        if (model, step) in self._tagged:
            return
        try:
            self._registry.tag_version(model, step.version, step.key, step.value)
        except RegistryNotFound:
            self._log.info("version_gone", model=model, version=step.version)
        self._tagged.add((model, step))
