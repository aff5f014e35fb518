import pytest

from stagedoor.domain.snapshot import ModelEntry, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from tests.benchmarks.bench import names
from tests.benchmarks.bench.scenarios import entries

SERVED = ModelEntry(
    "bench",
    versions={number: VersionEntry(number, "ready", "digest") for number in ("1", "2")},
    route=Route(3, (Arm("champion", "1", 5000), Arm("challenger", "2", 5000)), b"salt"),
)


def test_each_scenario_has_as_many_models_and_routes_as_its_name_says() -> None:
    found = {
        scenario: (len(models), sum(entry.route is not None for entry in models.values()))
        for scenario, models in entries(SERVED).items()
    }
    assert found == {
        names.ONE: (1, 1),
        names.HUNDRED: (100, 1),
        names.MANY: (5000, 1),
        names.LOADED: (50, 50),
        names.IN_TURN_10: (10, 10),
        names.IN_TURN: (50, 50),
        names.IN_TURN_200: (200, 200),
        names.ARMS_20: (1, 1),
        names.ARMS: (1, 1),
    }
    assert tuple(found) == names.SCENARIOS


@pytest.mark.parametrize(("scenario", "count"), [(names.ONE, 2), (names.ARMS_20, 20), (names.ARMS, 100)])
def test_so_many_arms_are_so_many_ready_versions_of_the_same_files(scenario: str, count: int) -> None:
    entry = entries(SERVED)[scenario]["bench"]
    assert entry.route is not None
    assert len(entry.route.arms) == count
    assert {entry.versions[arm.version].digest for arm in entry.route.arms} == {"digest"}
