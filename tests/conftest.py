"""What tests of several folders ask for."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from .postgres import Cluster, cluster

# How long an example takes is up to what else runs on the machine: a law is judged by what it says.
settings.register_profile("stagedoor", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stagedoor")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts processes comes first: files of minutes at the end would leave one core waiting for the other."""
    items.sort(key=lambda item: "unit" in item.path.parts)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A private PostgreSQL server; `postgres.database()` gives the URL of an empty database of one's own."""
    with cluster() as server:
        if server is None:
            pytest.skip("no PostgreSQL here; the package postgresql has one")
        yield server
