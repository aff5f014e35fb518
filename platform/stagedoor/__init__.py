"""The floor of Stagedoor: what both planes share, and nothing that knows either of them."""

__version__ = "0.1.0"
