"""Short ways to write described fields."""

from typing import Any

from marshmallow import fields


def text(description: str, **more: Any) -> fields.String:  # noqa: ANN401  marshmallow's own options
    """A required string."""
    return fields.String(required=True, metadata={"description": description}, **more)


def integer(description: str) -> fields.Integer:
    """A required whole number."""
    return fields.Integer(required=True, metadata={"description": description})


def anything(description: str, **more: Any) -> fields.Raw:  # noqa: ANN401  marshmallow's own options
    """Any JSON value."""
    return fields.Raw(metadata={"description": description, **more})


def texts(description: str) -> fields.Dict:
    """A required object of strings."""
    return fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata={"description": description})


def maybe(of: type[fields.Field[Any]], description: str) -> Any:  # noqa: ANN401  a field of the type given
    """A required field that may be null."""
    return of(required=True, allow_none=True, metadata={"description": description})
