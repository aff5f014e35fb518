"""A person promotes a version by clicking in MLflow's own user interface."""

from pathlib import Path

import pytest

from . import models
from .browser import Browser, chromium
from .system import System, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(chromium() is None, reason="no Chromium here; the package chromium has one"),
]

NAME = "clicked"


def test_an_alias_added_by_clicking_is_served_through_a_canary(system: System, tmp_path: Path) -> None:
    program = chromium()
    assert program is not None
    system.with_live(NAME, files=models.GOOD)
    system.register(NAME, models.GOOD)
    with system.traffic(NAME) as traffic:
        with Browser(program, tmp_path) as browser:
            _sign_in(browser, system.mlflow_url, system.token("grace"))
            _add_alias(browser, f"{system.mlflow_url}/#/models/{NAME}/versions/2", "champion")
            until(lambda: system.champion(NAME) != "1" or "2" in traffic.versions, "the click reaches MLflow")
        last = system.ends(NAME, "2", "promoted")
        system.goes_live(NAME, "2")
    assert system.champion(NAME) == "2"
    assert traffic.statuses == {200}
    before = [answer for answer in traffic.answers if answer.epoch < last["epoch"]]
    assert {answer.arm for answer in before} == {"champion", "candidate"}
    entries = [entry for entry in system.history(NAME)["entries"] if entry["to_version"] == "2"]
    assert [entry["kind"] for entry in reversed(entries)] == ["started", "traffic_started", "advanced", "promoted"]
    assert {entry["who"] for entry in entries} == {"grace"}


def _sign_in(browser: Browser, address: str, token: str) -> None:
    browser.open(address)
    browser.wait_for("Access token")
    browser.click_on("#token")
    browser.type(token)
    browser.click("Sign in")
    until(lambda: not browser.sees("Access token"), "signed in")


def _add_alias(browser: Browser, page: str, alias: str) -> None:
    browser.open(page)
    browser.wait_for("Aliases")
    browser.click("Add", opens="Save aliases")
    browser.click_on("[role=dialog] input[role=combobox], [role=dialog] input")
    browser.type(alias, enter=True)
    browser.click("Save aliases")
