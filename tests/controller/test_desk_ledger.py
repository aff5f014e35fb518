"""The desk over the ledger as it is."""

import sqlite3
from pathlib import Path

import pytest

from registry_hooks.desk import Desk
from registry_hooks.ledger import Draft, open_ledger
from stagedoor.domain.route_tag import write_route
from stagedoor.errors import Conflict

from .conftest import ROUTE, Controller


def test_history_routes_and_rollbacks_come_from_the_ledger(controller: Controller, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db")
    generation = ledger.begin_generation("this test")
    desk = Desk(controller.registry, ledger, controller.board)
    for at, version in ((100.0, "1"), (200.0, "2")):
        route = write_route(ROUTE) if version == "2" else None
        state = {"stable": version, "route": route}
        epoch = ROUTE.epoch if version == "2" else 1
        ledger.append(Draft(version, at, "fraud", "promoted", "alice", None, version, epoch, "as asked", {}, state), generation)
    told = desk.history("fraud", at=150.0)
    assert told["live"]["version"] == "1"
    assert [entry["live"] for entry in told["entries"]] == ["1"]
    assert desk.route("fraud", 5)["decided"]["seq"] == 2
    with pytest.raises(Conflict):
        desk.route("fraud", 1)
    controller.show(stable="2")
    controller.registry.set_alias("fraud", "champion", "2")
    desk.rollback("fraud", who="bob")
    assert controller.registry.model("fraud").aliases["champion"] == "1"
    assert desk.verify()["sound"] is True
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        triggers = connection.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f'drop trigger "{name}"')
        connection.execute("update stagedoor_ledger set who = 'mallory' where seq = 1")
    connection.close()
    found = desk.verify()
    assert (found["sound"], found["first_bad"]) == (False, 1)
