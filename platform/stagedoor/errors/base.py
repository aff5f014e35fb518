"""The root of the tree."""


class StagedoorError(Exception):
    """Root of the tree. Every leaf's message says what to do next."""
