"""A virtual environment for one neighbour, below `.bench` and made on demand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rig import ROOT

ENVIRONMENTS = ROOT / ".bench"
_MAKE_SECONDS = 120
_INSTALL_SECONDS = 1500
_READY = "ready"


def pinned(package: str) -> str:
    """The package at the version that the project itself is pinned to."""
    found = re.search(rf"(?m)^{re.escape(package)}==\S+$", (ROOT / "constraints.txt").read_text())
    return found[0] if found else package


@dataclass(frozen=True)
class Environment:
    """A virtual environment with these requirements, of which `package` is what is measured."""

    name: str
    package: str
    requirements: tuple[str, ...]
    constrained: bool = False
    """Whether everything in it has the project's own pins."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return ENVIRONMENTS / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its site-packages; another folder for another Python, so that it is made anew then."""
        return self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def missing(self) -> str | None:
        """Why it cannot be used: it was never installed, or with other requirements."""
        mark = self.folder / _READY
        if not (mark.exists() and self.packages.is_dir()):
            return "not installed: make bench-peers"
        return None if mark.read_text() == self._wanted() else "installed with other requirements: make bench-peers"

    def install(self) -> None:
        """Make it, and mark it when all is in it. Raises subprocess.SubprocessError or OSError."""
        if self.missing() is None:
            return
        if not self.packages.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(self.folder)], _MAKE_SECONDS)
        pins = ["-c", str(ROOT / "constraints.txt")] if self.constrained else []
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *pins, *self.requirements], _INSTALL_SECONDS)
        (self.folder / _READY).write_text(self._wanted())

    def version(self) -> str:
        """The version of what is measured; `?` where it is not there."""
        form = re.sub(r"[-_.]+", "[-_.]", re.escape(self.package).replace(r"\-", "-"))
        for place in self.packages.glob("*.dist-info"):
            found = re.fullmatch(rf"{form}-(.+)\.dist-info", place.name, re.IGNORECASE)
            if found:
                return found[1]
        return "?"

    def _wanted(self) -> str:
        return "\n".join([*self.requirements, str(self.constrained)])


def _run(command: Sequence[str], seconds: float) -> None:
    subprocess.run(command, check=True, timeout=seconds, capture_output=True, text=True, stdin=subprocess.DEVNULL)
