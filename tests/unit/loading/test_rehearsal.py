"""What gunicorn's master plays through before it forks, and what is left of it."""

import os
import subprocess
import sys
from pathlib import Path

REHEARSED = """
import os, sys, threading
sys.path[:] = sys.argv[1].split("\\n")
import mlflow.pyfunc, pandas, skops.io, sklearn.pipeline
from serving.rehearsal import Part, rehearse

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
rehearse()
assert threads() == before, threading.enumerate()
rows = pandas.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "b"])
pid = os.fork()
if pid == 0:
    rehearse()  # what a worker does with models of its own
    assert Part().predict(rows)["answer"].tolist() == [3.0, 7.0]
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
NOTHING_TO_PLAY = """
import sys
sys.path[:] = sys.argv[1].split("\\n")
from serving.rehearsal import rehearse
rehearse()
print({"mlflow", "pandas", "sklearn"} & set(sys.modules))
"""


def run(code: str, temporary: Path) -> str:
    """What `code` prints in a process of its own, whose temporary files lie in `temporary`."""
    command = [sys.executable, "-W", "ignore", "-c", code, "\n".join(sys.path)]
    env = {**os.environ, "TMPDIR": str(temporary), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_starts_no_thread_and_leaves_no_file_and_workers_can_do_the_same(tmp_path: Path) -> None:
    assert run(REHEARSED, tmp_path) == "0"
    assert list(tmp_path.iterdir()) == []


def test_it_imports_nothing_by_itself(tmp_path: Path) -> None:
    assert run(NOTHING_TO_PLAY, tmp_path) == "set()"
