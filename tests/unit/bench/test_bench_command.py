"""The command `make bench`."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

ENDED = """
import os, signal, sys, time
sys.path.insert(0, "tests/benchmarks")
from bench.command import end_what_was_started
end_what_was_started()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
finally:
    print("cleaned up")
"""


def test_who_is_asked_to_end_ends_what_was_started() -> None:
    told = subprocess.run([sys.executable, "-c", ENDED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (told.stdout, told.returncode) == ("cleaned up\n", 128 + signal.SIGTERM), told.stderr
