"""Trying a version for the gates: what it is, whether it answers, how quickly, at what cost."""
