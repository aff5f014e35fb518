"""Who decides: one controller at a time, by a lock that dies with its holder; a generation fences off those before it."""

from registry_hooks.lease.advisory import AdvisoryLease
from registry_hooks.lease.file import FileLease
from registry_hooks.lease.port import Lease, holder_name
from registry_hooks.ledger import Ledger
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

__all__ = ["AdvisoryLease", "FileLease", "Lease", "build_lease", "holder_name"]


def build_lease(_settings: Settings, paths: StatePaths, ledger: Ledger) -> Lease:
    """A lock of PostgreSQL where the ledger is there: it may have controllers on several machines. Else a lock on a file.

    The file is beside the ledger's, so that two state folders with one ledger have one lease.
    """
    file = ledger.database.file
    if file is None:
        return AdvisoryLease(ledger)
    usual = file.absolute() == paths.ledger.absolute()
    return FileLease(paths.lease if usual else file.with_name(f"{file.name}.lease"), ledger)
