"""What tests of several folders ask for."""

from collections.abc import Iterator

import pytest

from .postgres import Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A private PostgreSQL server; `postgres.database()` gives the URL of an empty database of one's own."""
    with cluster() as server:
        if server is None:
            pytest.skip("PostgreSQL is not installed here")
        yield server
