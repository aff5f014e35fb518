"""What gunicorn's master imports for its workers: modules once for all of them, on pages that they share.

Importing is most of what a worker does before it answers, and most of what it holds in memory. Only libraries are imported
here, never a model, and of the one that is rehearsed nothing stays: no session, no thread and no code that was logged with a
model may exist before a fork. ONNX Runtime is tried in a child first: where it starts a thread while it is imported, the
workers would miss it, and trip over that at their end. It does so from 1.29 on, to report to its maker, unless it is told
not to.
"""

import contextlib
import gc
import importlib
import os
import re
import signal
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from serving.loading.loaders import tame
from serving.rehearsal import rehearse
from serving.snapshot_file import read_snapshot
from serving.store import folder_of
from stagedoor.domain.snapshot import Snapshot, VersionEntry
from stagedoor.errors import RegistryGarbled
from stagedoor.paths import StatePaths

ALWAYS: Final = ("serving.wiring", "a2wsgi", "uvloop")
"""What every worker imports, with all that these import in turn."""

FOR_ONNX: Final = ("onnxruntime", "serving.loading.loaders.compiled")
"""What graphs need, compiled ones too: for every worker as well, where `starts_no_thread`. It holds 8 MB of definitions."""

FOR_PYFUNC: Final = (
    *("mlflow.pyfunc", "mlflow.pyfunc.model", "pandas"),
    *("pyarrow.pandas_compat", "serving.loading.loaders.pyfunc"),  # imported late, with the first frame and the first load
)
"""What MLflow's own loader needs."""

LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "scikit-learn": (
        *("sklearn.pipeline", "sklearn.linear_model", "sklearn.ensemble", "mlflow.sklearn"),
        "narwhals._pandas_like.namespace",  # with which scikit-learn looks at its first frame
    ),
    "skops": ("skops.io",),
    "xgboost": ("xgboost", "mlflow.xgboost"),
    "lightgbm": ("lightgbm", "mlflow.lightgbm"),
}
"""What is imported where a model's requirements name it: known to start no thread that a fork would lose."""

SHAREABLE: Final = (*FOR_PYFUNC, *(name for names in LIBRARIES.values() for name in names))
"""All that can be shared besides what every worker imports."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_BYTES: Final = 65_536
_TRIAL_SECONDS: Final = 10.0
_GLANCE_SECONDS: Final = 0.002
_THREADS: Final = Path("/proc/self/task")


def share_modules(paths: StatePaths, tried: frozenset[str] = frozenset()) -> frozenset[str]:
    """Import what the workers will need for the machine's last snapshot, and keep the collector away from it.

    Gives the names of it all, and does nothing for those that were `tried` before. Never raises: what cannot be imported is
    left to the worker or the version that needs it, which says so.
    """
    wanted = (*ALWAYS, *FOR_ONNX, *modules_for(_snapshot(paths), paths.store))
    if tried.issuperset(wanted):
        return tried
    tame()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of their own futures, in lines that are no log lines
        for name in wanted:
            if name not in FOR_ONNX:
                _import(name)
        if not tried.issuperset(FOR_ONNX) and starts_no_thread(FOR_ONNX[0]):
            for name in FOR_ONNX:
                _import(name)
        with contextlib.suppress(Exception):  # the same: nothing depends on it
            rehearse()
    gc.collect()
    gc.freeze()  # a collection in a worker would write into every page that holds an object
    return tried.union(wanted)


def _import(name: str) -> None:
    with contextlib.suppress(Exception):  # a library may raise anything while it is imported; see share_modules
        importlib.import_module(name)


def starts_no_thread(name: str) -> bool:
    """Whether module `name` can be imported without a thread of its own, as a child finds out; False where nobody can tell."""
    child = os.fork()
    if child == 0:
        os._exit(_import_and_count(name))
    end = time.monotonic() + _TRIAL_SECONDS
    with contextlib.suppress(ChildProcessError):  # gunicorn's master reaps whatever ends, once it has begun
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(_GLANCE_SECONDS)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return False


def _import_and_count(name: str) -> int:
    """How many threads importing `name` starts; 1 where that cannot be known."""
    try:
        before = len(tuple(_THREADS.iterdir()))
        importlib.import_module(name)
        return len(tuple(_THREADS.iterdir())) - before
    except Exception:  # noqa: BLE001  it may raise anything, and this child has to end without a word
        return 1


def modules_for(snapshot: Snapshot, store: Path) -> tuple[str, ...]:
    """The modules that the snapshot's routes need besides; none where all they name is ONNX."""
    named: dict[str, None] = {}
    for digest in _pyfuncs(snapshot):
        named.update(dict.fromkeys(FOR_PYFUNC))
        for requirement in _requirements(folder_of(store, digest) / "requirements.txt"):
            named.update(dict.fromkeys(LIBRARIES.get(requirement, ())))
    return tuple(named)


def _snapshot(paths: StatePaths) -> Snapshot:
    try:
        return read_snapshot(paths.snapshot)
    except (OSError, RegistryGarbled):
        return Snapshot(0, {})


def _pyfuncs(snapshot: Snapshot) -> Iterator[str]:
    for entry in snapshot.models.values():
        for version in entry.route.versions if entry.route is not None else ():
            found = entry.versions.get(version)
            if found is not None and _runs_under_mlflow(found):
                yield found.digest


def _runs_under_mlflow(found: VersionEntry) -> bool:
    return found.state == "ready" and found.flavor == "python_function" and not found.compiled


def _requirements(path: Path) -> Iterable[str]:
    try:
        with path.open("rb") as file:
            lines = file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    names = (_NAME.match(line.strip()) for line in lines)
    return [re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name is not None]
