"""What people ask of the controller: commands become registry writes, questions are answered from board and ledger."""

from registry_hooks.desk.desk import Desk

__all__ = ["Desk"]
