"""This gateway and the bare echo, as servers like the neighbours.

A `House` is one `stagedoor up` with the models of one workload, everything on: token, signature check, metrics, request id, a
log line for each request in a file, and for linear and forest a split over two versions.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from asking import CHAMPION, Asker, settings_of
from peers.contract import Running, Workload
from rig import ROOT, System, free_port, process, system, tree_of, wait_for

from stagedoor import names as product
from stagedoor.local import specs
from stagedoor.paths import StatePaths

from . import names
from .closed_loop import Several
from .machine import product_version

MODEL, UNBATCHED_MODEL = "bench", "bench-unbatched"
WAIT_SECONDS = 180.0
# News come by nudges; polls are for the start, and shall take nothing to speak of from another server's turn.
CALM = {"STAGEDOOR_POLL_SECONDS": "10"}
_SPLIT = f"{product.CHAMPION}=50,{product.CHALLENGER}=50"


@dataclass(frozen=True)
class Own:
    """A peer (see peers.contract) that needs no environment of its own. `begin` is its `start`."""

    name: str
    workloads: frozenset[str]
    begin: Callable[[Workload, Path], AbstractContextManager[Running]]
    note: str = ""

    def version(self) -> str:
        """See the contract."""
        return product_version()

    def install(self) -> None:
        """See the contract."""

    def missing(self) -> str | None:
        """See the contract."""
        return None

    def start(self, workload: Workload, logs: Path) -> AbstractContextManager[Running]:
        """See the contract."""
        return self.begin(workload, logs)


@dataclass(frozen=True)
class House:
    """MLflow, resolver and gateway with one workload's models live."""

    system: System
    workload: Workload
    token: str
    asker: Asker

    def running(self, url: str, pid: int, model: str = MODEL) -> Running:
        """A gateway of this house as something to drive."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return Running(f"{url}/models/{model}/invocations", self.workload.mlflow_body(), pid, headers)

    @property
    def master(self) -> int:
        """The gunicorn master above the workers of `stagedoor up`."""
        worker = self.system.worker_pids()[0]
        return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])

    def flavors(self) -> set[str]:
        """As what the workers have loaded the model; "nothing" where one has not yet."""
        reports = [report["models"].get(MODEL, {}).get("loaded", ()) for report in self.system.workers()]
        return {str(version["flavor"]) for loaded in reports for version in loaded or ({"flavor": "nothing"},)}


@contextmanager
def house(workload: Workload) -> Iterator[House]:
    """Everything up, the workload's models live and right."""
    with system(demo=False, env=CALM) as up:
        asker = Asker(up, settings_of(up.state), subject="bench")
        found = House(up, workload, up.tokens[product.ROLE_PREDICTOR], asker)
        _register(found, MODEL, split=workload.name != names.MLP)
        if workload.name == names.MLP:
            _register(found, UNBATCHED_MODEL, split=False, batch="off")
            until_right(found.running(up.gateway, up.pid, UNBATCHED_MODEL), workload)
        until_right(found.running(up.gateway, up.pid), workload)
        if workload.name == names.FOREST:
            _until_compiled(found)
        yield found


def _register(found: House, model: str, *, split: bool, batch: str | None = None) -> None:
    folder = found.workload.mlmodel
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    versions = [found.asker.register(model, files) for _ in range(2 if split else 1)]
    if split:
        found.asker.tag(model, product.TAG_TRAFFIC, _SPLIT)
    if batch:
        found.asker.tag(model, product.TAG_BATCH, batch)
    for alias, version in zip((CHAMPION, product.CHALLENGER), versions, strict=False):
        found.asker.point(model, version, alias)
    nudge(found)


def nudge(found: House) -> None:
    """Make the resolver look at once: tags of a model send no webhook."""
    headers = {"Authorization": f"Bearer {found.system.tokens[product.ROLE_PROMOTER]}"}
    requests.post(f"{found.system.gateway}/nudge", headers=headers, timeout=10).raise_for_status()


def _until_compiled(found: House) -> None:
    """Wait until the compiled form has taken over in every worker: it serves as it is before. Raises TimeoutError."""
    wait_for(lambda: found.flavors() == {"onnx"}, WAIT_SECONDS, "the compiled form in every worker", pause=0.2)


def until_right(running: Running, workload: Workload, pause: float = 0.05, seconds: float = WAIT_SECONDS) -> None:
    """Ask until the right answer comes. Raises TimeoutError."""
    with requests.Session() as session:
        session.headers.update({"Content-Type": running.content_type, **running.headers})

        def right() -> bool:
            try:
                answer = session.post(running.url, data=running.body, timeout=10)
            except requests.RequestException:
                return False
            return answer.status_code == requests.codes.ok and workload.right(answer.content)

        wait_for(right, seconds, f"a right answer of {workload.name}", pause)


# --- servers ------------------------------------------------------------------------------------------------------------


def servers(found: House) -> tuple[Own, ...]:
    """What of ours is measured with the workload of this house."""
    workload = found.workload.name
    flavor = "" if workload != names.FOREST else f", served as {', '.join(sorted(found.flavors()))}"
    lane = Own(names.OURS, frozenset(names.WORKLOADS), _through_the_lane(found, MODEL), f"2 workers, everything on{flavor}")
    if workload == names.LINEAR:
        fallback = Own(names.FALLBACK, frozenset({names.LINEAR}), _fallback(found), "the same under gunicorn's stock worker")
        floor = Own(names.ECHO, frozenset({names.LINEAR}), echo, "bare ASGI on gunicorn's stock worker, same settings")
        return (floor, lane, fallback)
    if workload == names.MLP:
        single = _through_the_lane(found, UNBATCHED_MODEL)
        return (lane, Own(names.UNBATCHED, frozenset({names.MLP}), single, "the same with batching off"))
    return (lane,)


def _through_the_lane(found: House, model: str) -> Callable[[Workload, Path], AbstractContextManager[Running]]:
    @contextmanager
    def start(workload: Workload, logs: Path) -> Iterator[Running]:  # the house's gateway runs
        yield found.running(found.system.gateway, found.master, model)

    return start


def _fallback(found: House) -> Callable[[Workload, Path], AbstractContextManager[Running]]:
    return lambda _, logs: gateway(found, logs / names.FALLBACK, 2, ("-k", "asgi"))


@contextmanager
def gateway(found: House, state: Path, workers: int, options: tuple[str, ...] = ()) -> Iterator[Running]:
    """One more gateway with its resolver beside the house's MLflow, on a state folder of its own."""
    paths = warm_state(found, state)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    spec = specs.gateway(paths, found.system.mlflow, "127.0.0.1", port, workers)
    *command, app = spec.command
    with ExitStack() as stack:
        for one in (specs.resolver(paths, found.system.mlflow), spec):
            one.folder.mkdir(parents=True, exist_ok=True)
            words = one.command if one is not spec else (*command, *options, app)
            env = {**one.environment, **CALM}
            pid = stack.enter_context(process(words, env=env, log=one.log, cwd=one.folder))
        running = found.running(url, pid)
        until_right(running, found.workload)
        wait_for(lambda: len(tree_of(pid)) == workers + 1, 30, f"{workers} workers")
        yield running


@contextmanager
def divided(start: AbstractContextManager[Running], count: int) -> Iterator[Several]:
    """One server, driven by `count` wrk at once."""
    with start as running:
        yield Several.of(*[running] * count)


@contextmanager
def separate(found: House, state: Path, count: int) -> Iterator[Several]:
    """So many gateways of one worker each, which have nothing but the machine in common, each driven by a wrk of its own."""
    with ExitStack() as stack:
        yield Several.of(*(stack.enter_context(gateway(found, state / str(number), 1)) for number in range(count)))


def warm_state(found: House, state: Path) -> StatePaths:
    """A copy of what the house's gateway serves from: snapshot, store and signing secret."""
    source, paths = StatePaths(found.system.state), StatePaths(state)
    shutil.rmtree(state, ignore_errors=True)
    paths.logs.mkdir(parents=True)
    shutil.copy(source.secret, paths.secret)
    shutil.copytree(source.store, paths.store)
    for file in source.snapshot.parent.iterdir():
        if file.is_file() and file.suffix == ".json":
            shutil.copy(file, paths.snapshot.parent)
    return paths


@contextmanager
def restarted(found: House, state: Path) -> Iterator[float]:
    """`stagedoor gateway` on a warm state folder; gives the seconds from its start to its first right answer."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("stagedoor")), "gateway", "--state", str(state)]
    command += ["--mlflow", found.system.mlflow, "--port", str(port)]
    began = time.monotonic()
    with process(command, env=CALM, log=state / "gateway.log") as pid:
        until_right(found.running(f"http://127.0.0.1:{port}", pid), found.workload, pause=0.005)
        yield time.monotonic() - began


@contextmanager
def echo(workload: Workload, logs: Path, workers: int = 2) -> Iterator[Running]:
    """The floor: gunicorn's stock ASGI worker on the gateway's own settings, sending each body back."""
    state = logs / f"echo-{workers}"
    state.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:serving.gunicorn_conf", "-k", "asgi"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
    command += ["--pythonpath", str(ROOT / "tests" / "benchmarks"), "echo:app"]
    with process(command, env={"STAGEDOOR_STATE_DIR": str(state)}, log=state / "log") as pid:
        running = Running(f"http://127.0.0.1:{port}/", workload.mlflow_body(), pid)

        def echoes() -> bool:
            try:
                return requests.post(running.url, data=running.body, timeout=5).content == running.body
            except requests.RequestException:
                return False

        wait_for(echoes, 30, "the echo server")
        wait_for(lambda: len(tree_of(pid)) == workers + 1, 30, f"{workers} workers")
        yield running
