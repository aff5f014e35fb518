"""Who did what, when, and on what evidence: an append-only, hash-chained record in SQLite or PostgreSQL."""

from registry_hooks.ledger.chain import Verification
from registry_hooks.ledger.entry import Draft, Entry
from registry_hooks.ledger.ledger import Ledger, find_ledger, open_ledger
from registry_hooks.ledger.place import ledger_place

__all__ = ["Draft", "Entry", "Ledger", "Verification", "find_ledger", "ledger_place", "open_ledger"]
