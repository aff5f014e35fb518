"""The files of this tree, as git knows them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def files(*which: str) -> list[Path]:
    """Those tracked, or those `which` says; relative to ROOT.

    Skips where the tree is not a checkout; a git that fails is an error.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so nothing says which files belong to the tree")
    # Whoever owns the checkout: git would refuse to list another user's.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *which]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert listed.returncode == 0, listed.stderr
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
