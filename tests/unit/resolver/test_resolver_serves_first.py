"""A version serves as it is while its compiled form is made, and nobody waits for that."""

import threading
import time
from pathlib import Path

import pytest

from serving.compiling.promotion import Compiled
from serving.resolver import wiring
from serving.resolver.schedule import LAST_RETRY
from serving.store import folder_of
from stagedoor import names
from stagedoor.domain.follow import Follower
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.traffic import Arm, Route
from stagedoor.errors import RegistryUnavailable
from stagedoor.settings import Settings

from .test_resolver_compiled import SKLEARN, CompilingWorld
from .world import Later, World


@pytest.fixture
def machine(tmp_path: Path) -> CompilingWorld:
    """Its compilations wait for the test."""
    machine = CompilingWorld(tmp_path)
    return with_later(machine)


def with_later(machine: CompilingWorld) -> CompilingWorld:
    machine.compilers = Later()
    machine.start()
    return machine


def compile_now(machine: CompilingWorld) -> None:
    assert isinstance(machine.compilers, Later)
    assert machine.compilers.jobs
    machine.compilers.run()
    machine.settle()


def test_a_version_is_live_before_its_compiler_has_run_and_in_its_compiled_form_afterwards(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    assert (machine.live(), machine.entry(), machine.compiler.asked) == ({"1": 10_000}, "", [])
    epoch = machine.model().route
    compile_now(machine)
    assert folder_of(machine.paths.store, machine.entry()).joinpath("model.onnx").is_file()
    assert machine.model().route == epoch


def test_while_one_version_is_compiled_the_next_becomes_live(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    machine.register("fraud", f"{SKLEARN}#", "champion")
    machine.settle()
    assert machine.live() == {"2": 10_000}


def test_a_resolver_that_ends_meanwhile_compiles_after_its_restart(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    with_later(machine)
    assert machine.live() == {"1": 10_000}
    machine.settle()
    compile_now(machine)
    assert machine.entry()
    assert len(machine.probe.probed) == 1


def test_a_version_that_is_deleted_meanwhile_leaves_nothing_behind(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    machine.registry.delete_version("fraud", "1")
    compile_now(machine)
    assert (machine.compiler.asked, machine.live()) == ([], None)


def test_a_model_made_anew_meanwhile_gets_nothing_of_what_was_compiled_for_the_one_before(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    old = machine.model().versions["1"].digest
    assert isinstance(machine.compilers, Later)
    under_way, machine.compilers.jobs = machine.compilers.jobs, []
    asked = machine.compiler.__call__

    def made_anew(digest: str, model: str) -> Compiled:
        machine.registry.delete_model("fraud")
        machine.register("fraud", f"{SKLEARN}#", "champion")
        return asked(digest, model)

    machine.forms._compiler = made_anew  # noqa: SLF001  the registry changes while the compiler works
    for future, job in under_way:
        future.set_result(job())
    machine.forms._compiler = asked  # noqa: SLF001
    machine.settle()
    assert machine.compiler.asked == [(old, "fraud")]
    assert machine.model().versions["1"].digest != old
    assert (machine.entry(), machine.tag()) == ("", None)
    compile_now(machine)
    graph = folder_of(machine.paths.store, machine.entry()) / "model.onnx"
    assert graph.read_text() == f"graph of {machine.model().versions['1'].digest}"


@pytest.mark.parametrize("on", ["model", "version"])
def test_a_tag_that_turns_it_off_meanwhile_wins(machine: CompilingWorld, on: str) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    asked = machine.compiler.__call__

    def turned_off(digest: str, model: str) -> Compiled:
        if on == "model":
            machine.registry.set_tag("fraud", names.TAG_COMPILE, "off")
        else:
            machine.registry.tag_version("fraud", "1", names.TAG_COMPILE, "off")
        return asked(digest, model)

    machine.forms._compiler = turned_off  # noqa: SLF001  the tag comes while the compiler works
    compile_now(machine)
    assert len(machine.compiler.asked) == 1
    assert (machine.live(), machine.entry(), machine.tag()) == ({"1": 10_000}, "", None)


def test_a_tag_on_the_model_takes_a_compiled_form_away_while_another_is_made(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    compile_now(machine)
    machine.tools = "skl2onnx-2"
    with_later(machine)
    machine.settle()
    assert machine.entry()  # what other converters made serves until these have looked at it
    machine.registry.set_tag("fraud", names.TAG_COMPILE, "off")
    machine.settle()
    assert machine.entry() == ""
    compile_now(machine)
    assert machine.entry() == ""


def test_a_compilation_that_is_held_up_is_tried_again(machine: CompilingWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()

    def down(name: str, version: str) -> None:
        raise RegistryUnavailable("MLflow does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(machine.registry, "version", down)
        compile_now(machine)
    machine.settle(2 * LAST_RETRY)
    assert (machine.live(), machine.entry()) == ({"1": 10_000}, "")
    compile_now(machine)
    assert machine.entry()


def test_a_compiler_that_crashes_leaves_the_version_serving(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    assert isinstance(machine.compilers, Later)
    for future, _ in machine.compilers.jobs:
        future.set_exception(RuntimeError("unforeseen"))
    machine.compilers.jobs = []
    machine.settle(2 * LAST_RETRY)
    assert (machine.live(), machine.entry(), machine.compilers.jobs) == ({"1": 10_000}, "", [])


# --- with a controller --------------------------------------------------------------------------------------------------


def issue(machine: World, epoch: int, *arms: Arm) -> None:
    route = Route(epoch, arms, b"salt", issued=True, watched=True, aliases=((names.CHAMPION, arms[0].version),))
    machine.registry.set_tag("fraud", names.TAG_ROUTE, write_route(route))


def test_a_candidate_on_trial_waits_for_its_compiled_form_and_a_stable_version_does_not(machine: CompilingWorld) -> None:
    machine.how = Follower("route", "here")
    with_later(machine)
    machine.register("fraud", SKLEARN, "champion")
    issue(machine, 1, Arm("champion", "1", 10_000))
    machine.settle()
    assert (machine.live(), machine.entry()) == ({"1": 10_000}, "")
    compile_now(machine)
    machine.register("fraud", f"{SKLEARN}#", "champion")
    issue(machine, 2, Arm("champion", "1", 5_000), Arm("candidate", "2", 5_000))
    machine.settle()
    found = machine.model().versions["2"]
    assert (machine.live(), found.state, found.code) == ({"1": 10_000}, "pending", "version_not_ready")
    assert any("compiled form is being made" in problem for problem in machine.model().problems)
    compile_now(machine)
    assert (machine.live(), machine.model().problems) == ({"1": 5_000, "2": 5_000}, ())
    assert machine.entry("2")


# --- in threads of its own ----------------------------------------------------------------------------------------------


def test_versions_become_live_while_the_compiler_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, let_go = threading.Event(), threading.Event()

    def compiler(digest: str, model: str, **_: object) -> Compiled:
        stuck.set()
        let_go.wait(60)
        return Compiled("", "no: It was stuck.")

    monkeypatch.setattr(wiring, "compile_version", compiler)
    monkeypatch.setattr(wiring, "tools", lambda: "skl2onnx-1")
    world = World(tmp_path)
    resolver = wiring.build_resolver(Settings(state_dir=tmp_path / "state"), world.paths, world.registry, world.probe)
    models = [f"fraud-{number}" for number in range(wiring.PREPARATIONS)]
    for model in models:
        world.register(model, SKLEARN, "champion")
    stop = threading.Event()
    thread = threading.Thread(target=wiring.run, args=(resolver, stop))
    thread.start()

    def live_within(seconds: float) -> set[str]:
        deadline = time.monotonic() + seconds
        while (live := {name for name, entry in resolver.snapshot.models.items() if entry.route}) != set(models):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return live

    try:
        assert stuck.wait(20)
        assert live_within(20) == set(models)
        models.append("one-more")
        world.register("one-more", SKLEARN, "champion")
        assert live_within(20) == set(models)
    finally:
        let_go.set()
        stop.set()
        thread.join(10)
