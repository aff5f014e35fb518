"""Which database the ledger is in: a file of SQLite or a URL of PostgreSQL, checked before anything connects."""

from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from stagedoor.errors import ConfigurationError
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

_POSTGRESQL = frozenset({"postgresql", "postgres"})


def ledger_place(settings: Settings, paths: StatePaths) -> str | Path:
    """The configured URL, else the file in the state folder."""
    return settings.ledger_url.get_secret_value() if settings.ledger_url else paths.ledger


def read_place(place: str | Path) -> Path | URL:
    """The file, or the URL with its driver. Raises ConfigurationError for what can hold no ledger."""
    if isinstance(place, Path):
        return place
    if "://" not in place:
        return Path(place)
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "The ledger's URL is malformed. Write STAGEDOOR_LEDGER_URL as postgresql://USER:PASSWORD@HOST/DATABASE."
        ) from error
    kind = url.get_backend_name()
    if kind == "sqlite":
        return _file(url)
    if kind not in _POSTGRESQL:
        raise ConfigurationError("The ledger is kept in SQLite or PostgreSQL. Name one of them with STAGEDOOR_LEDGER_URL.")
    if find_spec("psycopg") is None:
        raise ConfigurationError("A ledger on PostgreSQL needs psycopg. Install it: pip install 'stagedoor[postgres]'.")
    return url.set(drivername="postgresql+psycopg")


def _file(url: URL) -> Path:
    if not url.database or ":memory:" in url.database or url.database.startswith("file:"):
        raise ConfigurationError("A ledger in memory would forget. Write STAGEDOOR_LEDGER_URL as sqlite:////folder/ledger.db.")
    return Path(url.database)
