"""What gunicorn's master imports for its workers, and what it must leave to them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import before_fork
from serving.before_fork import FOR_PYFUNC, LIBRARIES, modules_for
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route

HEAVY = "{'mlflow', 'pandas', 'pyarrow', 'sklearn', 'skops', 'sqlalchemy', 'alembic', 'onnx', 'marshmallow', 'apispec'}"


def run(code: str, state: Path, *arguments: object) -> str:
    """What `code` prints in a process of its own, as gunicorn's master would run it."""
    command = [sys.executable, "-c", f"import sys; sys.path[:] = sys.argv[1].split('\\n')\n{code}", "\n".join(sys.path)]
    env = {**os.environ, "STAGEDOOR_STATE_DIR": str(state), "STAGEDOOR_LOG_REQUESTS": "false"}
    done = subprocess.run([*command, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


MASTER = """
import os
import serving.gunicorn_conf as conf
from gunicorn.util import load_class
load_class(conf.worker_class)
conf.on_starting(None)
"""

# The worker ends as gunicorn's do: by SystemExit, so that all that libraries have registered for the end is run.
FORKED = f"""
{MASTER}
from pathlib import Path
pid = os.fork()
if pid == 0:
    conf.post_fork(None, None)
    from serving.loading.loaders import LoadOptions
    from serving.loading.version import load_version
    load_version(Path(sys.argv[2]), "m", "1", "", LoadOptions())
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

DRAWS = f"""
{MASTER}
import numpy.random
from serving.trace import new_request_id
numpy.random.seed(1)
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        conf.post_fork(None, None)
        print(numpy.random.random(), new_request_id(), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""

WORKER = f"""
{MASTER}
import time
from serving.wiring import build_worker
worker = build_worker()
worker.start()
assert worker.pool.view.serial == 1, worker.pool.view
assert worker.flask.test_client().get("/livez").status_code == 200
worker.stop()
print(sorted({HEAVY} & set(sys.modules)))
"""


IMPORTED = f"{MASTER}\nprint(sorted({{'onnxruntime', 'flask', 'numpy', 'serving.wiring', 'mlflow'}} & set(sys.modules)))"


def test_the_master_imports_what_every_worker_needs(tmp_path: Path) -> None:
    assert run(IMPORTED, tmp_path) == "['flask', 'numpy', 'onnxruntime', 'serving.wiring']"


def test_onnx_runtime_that_starts_a_thread_is_left_to_the_workers(tmp_path: Path) -> None:
    with_thread = "from serving import before_fork\nbefore_fork.starts_no_thread = lambda name: False"
    assert run(f"{with_thread}\n{IMPORTED}", tmp_path) == "['flask', 'numpy', 'serving.wiring']"


def test_no_library_reports_to_its_maker_unless_the_operator_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"{MASTER}\nprint(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert run(told, tmp_path) == "1 false"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", True),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(5,), daemon=True).start()", False),
        ("raise RuntimeError", False),
        ("import time\ntime.sleep(60)", False),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", False),
    ],
    ids=["quiet", "a thread", "an error", "hangs", "crashes"],
)
def test_what_an_import_starts_is_tried_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, *, expected: bool
) -> None:
    (tmp_path / "tried_in_a_child.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(before_fork, "_TRIAL_SECONDS", 1.0)
    assert before_fork.starts_no_thread("tried_in_a_child") is expected
    assert "tried_in_a_child" not in sys.modules


def test_the_masters_own_counters_are_not_among_the_workers(tmp_path: Path) -> None:
    assert run(f"{MASTER}\nprint(list(conf._paths.metrics.iterdir()))", tmp_path) == "[]"


def test_a_worker_that_has_used_onnx_runtime_ends_in_order(tmp_path: Path, build_onnx: Any) -> None:
    assert run(FORKED, tmp_path, build_onnx()) == "0"


def test_workers_do_not_draw_the_same_numbers(tmp_path: Path) -> None:
    first, first_id, second, second_id = run(DRAWS, tmp_path).split()
    assert first != second
    assert first_id != second_id


def test_a_worker_that_serves_onnx_alone_has_no_heavy_library(house: Any) -> None:
    house.add("1")
    house.publish(house.entry("1"))
    assert run(WORKER, house.paths.root) == "[]"


def test_what_comes_to_be_needed_is_imported_before_the_next_fork(tmp_path: Path) -> None:
    late = f"""
{MASTER}
import gc
from types import SimpleNamespace
master = SimpleNamespace(WORKERS=dict(), num_workers=2)
frozen = gc.get_freeze_count()
conf.pre_fork(master, None)
assert gc.get_freeze_count() == frozen  # nothing new: no collection before each fork
from serving import before_fork
before_fork.modules_for = lambda *_: ("wave", "there_is_no_such_module")
conf.pre_fork(master, None)
print("wave" in sys.modules, gc.get_freeze_count() > frozen)
frozen = gc.get_freeze_count()
conf.pre_fork(master, None)
assert gc.get_freeze_count() == frozen  # what cannot be imported is not tried again
"""
    assert run(late, tmp_path) == "True True"


# --- which libraries ---


def snapshot(*versions: VersionEntry) -> Snapshot:
    route = Route(1, (Arm("champion", "1", 10_000),), b"salt")
    return Snapshot(1, {"m": ModelEntry("m", route=route, versions={found.version: found for found in versions})})


def stored(store: Path, digest: str, requirements: str) -> VersionEntry:
    (store / digest).mkdir(parents=True)
    (store / digest / "requirements.txt").write_text(requirements)
    return VersionEntry("1", "ready", digest, "python_function")


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ("", FOR_PYFUNC),
        ("mlflow==3.17.2\nSciKit_Learn>=1.5\n", (*FOR_PYFUNC, *LIBRARIES["scikit-learn"])),
        ("xgboost[extra]==3; python_version>'3'\n# lightgbm\n", (*FOR_PYFUNC, *LIBRARIES["xgboost"])),
        ("-r other.txt\nos\ntorch==2\n", FOR_PYFUNC),
    ],
)
def test_a_models_requirements_choose_from_a_list(tmp_path: Path, requirements: str, expected: tuple[str, ...]) -> None:
    assert modules_for(snapshot(stored(tmp_path, "d", requirements)), tmp_path) == expected


def test_files_that_are_gone_are_no_error(tmp_path: Path) -> None:
    assert modules_for(snapshot(VersionEntry("1", "ready", "gone", "python_function")), tmp_path) == FOR_PYFUNC


@pytest.mark.parametrize(
    "found",
    [
        VersionEntry("1", "ready", "d", "onnx"),
        VersionEntry("1", "ready", "d", "python_function", compiled="c"),
        VersionEntry("1", "refused", "d", "python_function"),
        VersionEntry("2", "ready", "d", "python_function"),
    ],
)
def test_onnx_compiled_versions_and_those_that_no_route_names_need_nothing(tmp_path: Path, found: VersionEntry) -> None:
    assert modules_for(snapshot(found), tmp_path) == ()
