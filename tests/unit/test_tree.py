"""The tree itself: exact versions, no address of where packages came from, reference pages that are up to date."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.checkout import ROOT, files

CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
_PIN = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^ ;@]+)")


def _pins() -> dict[str, Version]:
    matches = [_PIN.fullmatch(line) for line in CONSTRAINTS]
    return {canonicalize_name(match["name"]): Version(match["version"]) for match in matches if match}


def _requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in (*project["dependencies"], *(text for extra in extras for text in extra))]


def test_every_line_of_the_constraints_is_an_exact_version() -> None:
    assert [line for line in CONSTRAINTS if not _PIN.fullmatch(line)] == []
    assert len(CONSTRAINTS) > 100


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_the_constraints_hold_every_requirement_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(_pins()[canonicalize_name(requirement.name)])


def test_no_file_says_where_packages_were_fetched_from() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    host = re.sub(r"^\w+://(?:[^/@]*@)?([^/:]+).*$", r"\1", asked.stdout.strip())
    forbidden = re.compile("|".join(["extra-index" + "-url", *([re.escape(host)] if host else [])]))
    found = [path for path in files() if forbidden.search((ROOT / path).read_text(encoding="utf-8", errors="ignore"))]
    assert found == []


def test_the_configuration_page_is_that_of_the_code() -> None:
    from stagedoor.cli.config import markdown, rows
    from stagedoor.settings import Settings

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == markdown(rows(Settings())) + "\n", "write it anew: make configuration"
