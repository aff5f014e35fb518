"""Pure decisions over frozen values. Standard library only; time and chance are arguments."""
