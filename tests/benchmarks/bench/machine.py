"""What the readings were taken on, and what of processes /proc tells."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.machinery import ExtensionFileLoader
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rig import ROOT

from stagedoor import __version__

from .document import Machine, Run

PRODUCT = ("serving", "platform", "registry_hooks")
HARNESS = ("tests/benchmarks",)
_PACKAGES = ("gunicorn", "uvloop", "onnxruntime", "numpy", "orjson", "mlflow", "scikit-learn", "skl2onnx")


def this_machine() -> Machine:
    """Processor, memory, kernel, and versions of what serves and drives."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    versions = {"stagedoor": product_version(), **{package: version(package) for package in _PACKAGES}}
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True, timeout=10, check=False).stdout
    found = re.match(r"wrk (\S+)", told)
    return Machine(
        cpu=_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=int(memory[1]) / 1024**2 if memory else 0.0,
        kernel=platform.release(),
        python=" ".join(sys.version.split()),  # with date and compiler: how it was built makes half of its speed
        versions={**versions, "wrk": found[1] if found else "?"},
    )


def product_version(hot: str = "serving.plane") -> str:
    """The product's version, and whether this module of its hot path is compiled where this process, and what it starts, is."""
    found = find_spec(hot)
    compiled = found is not None and isinstance(found.loader, ExtensionFileLoader)
    return f"{__version__}, {'compiled' if compiled else 'interpreted'}"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def commit_of(folders: Iterable[str]) -> str:
    """The last commit that touched one of these folders, shortened."""
    return _git("log", "-1", "--format=%h", "--", *folders) or "?"


def this_run(*, quick: bool, rounds: int, seconds: float) -> Run:
    """Now, on this machine."""
    return Run(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        quick=quick,
        rounds=rounds,
        seconds=seconds,
        load=os.getloadavg()[0],
        changed=bool(_git("status", "--porcelain", "--", *PRODUCT)),
        harness=commit_of(HARNESS),
    )


@dataclass(frozen=True, slots=True)
class Ticks:
    """What the cores have done since they were started, in ticks."""

    stolen: int
    all: int

    @classmethod
    def now(cls) -> Ticks:
        """From /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal."""
        spent = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return cls(spent[-1], sum(spent))

    def stolen_since(self, earlier: Ticks) -> float:
        """The share that other machines of the host have had."""
        return (self.stolen - earlier.stolen) / max(self.all - earlier.all, 1)


def _git(*arguments: str) -> str:
    told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    return told.stdout.strip()


def pss_mb(pids: Iterable[int]) -> float:
    """Proportional set size of these processes together: pages shared among them count once."""
    total = 0
    for pid in pids:
        try:
            found = re.search(r"(?m)^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
        except OSError:  # it has just ended
            continue
        total += int(found[1]) if found else 0
    return total / 1024
