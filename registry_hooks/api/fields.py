"""A short way to describe a field."""

from typing import Any


def said(description: str) -> Any:  # noqa: ANN401  marshmallow's own options
    """The description, as an option of marshmallow's fields."""
    return {"metadata": {"description": description}}
