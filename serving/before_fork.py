"""What gunicorn's master imports for its workers: modules once for all of them, on pages that they share.

Importing is most of what a worker does before it answers, and most of what it holds in memory. Only libraries are imported
here, never a model: no session, no thread and no code that was logged with a model may exist before a fork. ONNX Runtime
must not be imported either, since the thread that it starts would be missing in the workers, which its end then trips over.
"""

import contextlib
import gc
import importlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from serving.snapshot_file import read_snapshot
from serving.store import folder_of
from stagedoor.domain.snapshot import Snapshot, VersionEntry
from stagedoor.errors import RegistryGarbled
from stagedoor.paths import StatePaths

ALWAYS: Final = ("serving.wiring", "a2wsgi", "uvloop")
"""What every worker imports, with all that these import in turn."""

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


def share_modules(paths: StatePaths, tried: frozenset[str] = frozenset()) -> frozenset[str]:
    """Import what the workers will need for the machine's last snapshot, and keep the collector away from it.

    Gives the names of it all, and does nothing for those that were `tried` before. Never raises: what cannot be imported is
    left to the worker or the version that needs it, which says so.
    """
    wanted = (*ALWAYS, *modules_for(_snapshot(paths), paths.store))
    if tried.issuperset(wanted):
        return tried
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of their own futures, in lines that are no log lines
        for name in wanted:
            _import(name)
    gc.collect()
    gc.freeze()  # a collection in a worker would write into every page that holds an object
    return tried.union(wanted)


def _import(name: str) -> None:
    with contextlib.suppress(Exception):  # a library may raise anything while it is imported; see share_modules
        importlib.import_module(name)


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
