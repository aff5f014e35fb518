"""What holds for any commands in any order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from registry_hooks.desk import Desk
from stagedoor.errors import StagedoorError
from stagedoor.registry.memory import MemoryRegistry

from .conftest import DictBoard, MemoryLedger

VERSIONS = st.sampled_from(["1", "2", "3", "9"])
WHO = st.sampled_from(["alice", "bob"])
COMMANDS = st.one_of(
    st.tuples(st.just("promote"), st.fixed_dictionaries({"version": VERSIONS, "who": WHO})),
    st.tuples(
        st.just("promote"),
        st.fixed_dictionaries({"version": VERSIONS, "who": WHO, "strategy": st.sampled_from(["canary", "immediate", "x"])}),
    ),
    st.tuples(st.just("promote"), st.fixed_dictionaries({"version": VERSIONS, "who": WHO, "alias": st.just("challenger")})),
    st.tuples(
        st.sampled_from(["finish", "pause", "resume", "abort", "withdraw", "end_drill"]),
        st.fixed_dictionaries({"who": WHO}),
    ),
    st.tuples(st.just("rollback"), st.fixed_dictionaries({"who": WHO, "to": st.sampled_from(["1", "1.1.0", "7.7.7", "x"])})),
    st.tuples(
        st.just("traffic"),
        st.fixed_dictionaries({"policy": st.sampled_from([None, "champion=100", "champion=90,challenger=10"]), "who": WHO}),
    ),
    st.tuples(st.just("approve"), st.fixed_dictionaries({"version": VERSIONS, "who": WHO})),
    st.tuples(
        st.just("drill"),
        st.fixed_dictionaries({"fault": st.just("nan"), "rate": st.just(0.5), "seconds": st.just(60.0), "who": WHO}),
    ),
)
ROWS = st.fixed_dictionaries(
    {
        "stable": st.sampled_from(["1", "2", None]),
        "candidate": st.sampled_from(["2", "3", None]),
        "phase": st.sampled_from(["idle", "gating", "canary", "refused", "paused"]),
    }
)


@dataclass
class Scene:
    """A desk with one model before it."""

    row: dict[str, Any]

    def __post_init__(self) -> None:
        self.registry, self.ledger = MemoryRegistry(), MemoryLedger()
        for semver in ("1.0.0", "1.1.0", "1.2.0"):
            self.registry.register("fraud", Path("unused"), {"semver": semver})
        self.registry.set_alias("fraud", "champion", "1")
        self.desk = Desk(self.registry, self.ledger, DictBoard({"fraud": {"model": "fraud", **self.row}}))

    def contents(self) -> Any:
        versions = [self.registry.version("fraud", number).tags for number in ("1", "2", "3")]
        return self.registry.model("fraud"), versions

    def give(self, command: tuple[str, dict[str, Any]]) -> bool:
        verb, arguments = command
        try:
            getattr(self.desk, verb)("fraud", **arguments)
        except StagedoorError:
            return False
        return True


@settings(max_examples=100, deadline=None)
@given(row=ROWS, commands=st.lists(COMMANDS, max_size=6))
def test_a_command_given_twice_does_what_it_does_once_and_a_refused_one_does_nothing(
    row: dict[str, Any], commands: list[tuple[str, dict[str, Any]]]
) -> None:
    scene = Scene(row)
    with capture_logs():
        for command in commands:
            before = scene.contents()
            taken = scene.give(command)
            after = scene.contents()
            assert taken or after == before
            scene.give(command)
            assert scene.contents() == after
