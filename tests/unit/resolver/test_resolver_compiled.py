"""Which versions are compiled, when again, and what is written about it in MLflow."""

from concurrent.futures import Executor
from pathlib import Path

import pytest

from serving.compiling.promotion import Compiled, is_candidate
from serving.resolver.compiled import CompiledForms
from serving.resolver.demands import DemandFolder
from serving.resolver.index import Index
from serving.resolver.preparing import Preparer
from serving.resolver.progress import Means
from serving.resolver.publishing import Publisher
from serving.resolver.resolver import Resolver, Work
from serving.store import Store, folder_of
from stagedoor import names
from stagedoor.errors import RegistryUnavailable
from stagedoor.registry.reading import read_registry

from .world import AtOnce, World

SKLEARN = "flavors:\n  python_function:\n    a: 1\n  sklearn:\n    b: 2\n"
ONNX = "flavors:\n  onnx:\n    a: 1\n  sklearn:\n    b: 2\n"
CODE = "flavors:\n  python_function:\n    a: 1\n"


class FakeCompiler:
    """Puts a form of its own into the store, or says why not."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[tuple[str, str]] = []
        self.refuses = ""
        self.times = "42 times faster"

    def __call__(self, digest: str, model: str) -> Compiled:
        self.asked.append((digest, model))
        if self.refuses:
            return Compiled("", f"no: {self.refuses}")
        made = self.store.ingest(lambda into: (into / "model.onnx").write_text(f"graph of {digest}") and None)
        return Compiled(made, f"onnx: equal on 10 rows, {self.times}")


class CompilingWorld(World):
    """A machine that compiles, with `tools`."""

    tools = "skl2onnx-1"
    refuses = ""
    times = "42 times faster"
    compilers: Executor = AtOnce()

    def start(self) -> None:
        self.store = Store(self.paths.store, self.budget)
        self.compiler = FakeCompiler(self.store)
        self.compiler.refuses = self.refuses
        self.compiler.times = self.times
        index = Index(self.paths.store / "index.json")
        forms = self.forms = CompiledForms(self.registry, self.store, index, self.compiler, is_candidate, self.tools)
        preparer = Preparer(self.registry, self.store, index, self.probe, 10_000, forms.form)

        def evict(keep: frozenset[str]) -> frozenset[str]:
            gone = self.store.evict(keep)
            index.forget(gone)
            return gone

        def read(*asked: object) -> object:
            return read_registry(self.registry, self.patterns, *asked)  # type: ignore[arg-type]

        compiling = Means(forms.compile, self.compilers)
        work = Work(read, preparer.prepare, evict, AtOnce(), self.workers, self.how, compiling)  # type: ignore[arg-type]
        self.resolver = Resolver(work, Publisher(self.paths), DemandFolder(self.paths.demand), 1.0)

    def tag(self, version: str = "1") -> str | None:
        return self.registry.version("fraud", version).tags.get(names.TAG_COMPILED)

    def entry(self, version: str = "1") -> str:
        return self.model().versions[version].compiled


@pytest.fixture
def machine(tmp_path: Path) -> CompilingWorld:
    return CompilingWorld(tmp_path)


def test_a_version_is_served_by_its_compiled_form_and_says_so_in_mlflow(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    entry = machine.model().versions["1"]
    assert entry.state == "ready"
    assert machine.compiler.asked == [(entry.digest, "fraud")]
    assert folder_of(machine.paths.store, entry.compiled).joinpath("model.onnx").read_text() == f"graph of {entry.digest}"
    assert machine.tag() == "onnx: equal on 10 rows, 42 times faster"


@pytest.mark.parametrize("content", [ONNX, CODE])
def test_a_version_that_is_no_candidate_is_not_asked_about(machine: CompilingWorld, content: str) -> None:
    machine.register("fraud", content, "champion")
    machine.settle()
    assert machine.model().versions["1"].state == "ready"
    assert (machine.compiler.asked, machine.entry(), machine.tag()) == ([], "", None)


def test_a_version_without_an_equal_graph_is_served_as_it_is_with_the_reason_on_it(machine: CompilingWorld) -> None:
    machine.compiler.refuses = "Labels differ."
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    assert machine.live() == {"1": 10_000}
    assert (machine.entry(), machine.tag()) == ("", "no: Labels differ.")


@pytest.mark.parametrize("refuses", ["", "Labels differ."])
def test_nothing_is_compiled_again_after_a_restart(machine: CompilingWorld, refuses: str) -> None:
    machine.refuses = machine.compiler.refuses = refuses
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    before = machine.entry()
    machine.start()
    machine.settle()
    assert machine.compiler.asked == []
    assert machine.entry() == before


def test_other_converters_are_worth_another_try(machine: CompilingWorld) -> None:
    machine.compiler.refuses = "Labels differ."
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    machine.tools = "skl2onnx-2"
    machine.start()
    machine.settle()
    assert len(machine.compiler.asked) == 1
    assert (machine.entry() != "", machine.tag()) == (True, "onnx: equal on 10 rows, 42 times faster")


def test_without_converters_the_version_says_what_to_install(machine: CompilingWorld) -> None:
    machine.tools = ""
    machine.start()
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    assert machine.compiler.asked == []
    assert "stagedoor[compile]" in (machine.tag() or "")
    assert machine.live() == {"1": 10_000}


def test_a_damaged_compiled_form_is_made_anew(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    graph = folder_of(machine.paths.store, machine.entry()) / "model.onnx"
    graph.chmod(0o644)
    graph.write_text("another graph")
    machine.start()
    machine.settle()
    assert len(machine.compiler.asked) == 1
    assert graph.read_text().startswith("graph of")


def test_another_machine_with_the_same_result_writes_nothing(tmp_path: Path, machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    before = machine.tag()
    other = CompilingWorld(tmp_path / "other")
    other.registry = machine.registry
    other.times = "40 times faster"
    other.start()
    other.settle()
    assert other.entry() != ""
    assert machine.tag() == before


@pytest.mark.parametrize("on", ["model", "version"])
def test_a_tag_on_the_model_or_the_version_turns_it_off(machine: CompilingWorld, on: str) -> None:
    version = machine.register("fraud", SKLEARN)
    if on == "model":
        machine.registry.set_tag("fraud", names.TAG_COMPILE, "off")
    else:
        machine.registry.tag_version("fraud", version, names.TAG_COMPILE, "off")
    machine.registry.set_alias("fraud", "champion", version)
    machine.settle()
    assert machine.live() == {"1": 10_000}
    assert (machine.compiler.asked, machine.entry(), machine.tag()) == ([], "", None)


def test_the_models_tag_takes_effect_while_the_version_serves(machine: CompilingWorld) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    compiled = machine.entry()
    machine.registry.set_tag("fraud", names.TAG_COMPILE, "off")
    machine.settle()
    assert (machine.entry(), machine.model().versions["1"].state) == ("", "ready")
    machine.registry.set_tag("fraud", names.TAG_COMPILE, None)
    machine.settle()
    assert machine.entry() == compiled
    assert len(machine.compiler.asked) == 1
    assert len(machine.probe.probed) == 1


def test_room_is_not_made_by_throwing_away_a_compiled_form_in_use(machine: CompilingWorld) -> None:
    machine.budget = 1
    machine.start()
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    assert machine.store.has(machine.entry())
    machine.register("fraud", f"{SKLEARN}#", "champion")
    machine.settle()
    assert machine.store.has(machine.entry("2"))
    assert len(list(machine.paths.store.glob("[0-9a-f]*"))) == 2


def test_while_the_tags_cannot_be_read_a_ready_version_stays_as_it_is(
    machine: CompilingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.register("fraud", SKLEARN, "champion")
    machine.settle()
    before = machine.model().versions["1"]

    def down(name: str) -> None:
        raise RegistryUnavailable("MLflow does not answer.")

    machine.start()
    monkeypatch.setattr(machine.registry, "model", down)
    machine.settle()
    assert machine.model().versions["1"] == before
