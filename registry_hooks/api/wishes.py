"""Bodies of commands, as they are checked."""

from marshmallow import Schema, ValidationError, fields, validate

from registry_hooks.api.fields import said
from registry_hooks.desk.desk import MAX_DRILL_SECONDS
from stagedoor.domain.refs import check_alias, check_version
from stagedoor.errors import MalformedName


def _version(value: str) -> None:
    try:
        check_version(value)
    except MalformedName as error:
        raise ValidationError(str(error)) from error


def _alias(value: str) -> None:
    try:
        check_alias(value)
    except MalformedName as error:
        raise ValidationError(str(error)) from error


class Nothing(Schema):
    """A command without settings."""


class Promote(Schema):
    """Which version, and how. Without a version: end the running rollout by promoting its version now."""

    version = fields.String(validate=_version, **said("The version's number."))
    alias = fields.String(validate=_alias, **said("The alias to move; champion if absent."))
    strategy = fields.String(
        validate=validate.Length(1, 1000), **said("As the tag stagedoor.rollout, for instance canary steps=5,25,100.")
    )


class Rollback(Schema):
    """Where to."""

    to = fields.String(
        validate=validate.Length(1, 256),
        **said("A version's number, or what its tag semver says. By default the version that was live before."),
    )


class Traffic(Schema):
    """A split by hand."""

    policy = fields.String(
        required=True,
        allow_none=True,
        validate=validate.Length(1, 1000),
        **said("Shares by alias, as in champion=90,challenger=10; null ends the split."),
    )
    sticky = fields.String(
        allow_none=True,
        validate=validate.Length(1, 256),
        **said("Where the unit comes from, as in header:X-User-Id; null: each request by itself; absent: as it is."),
    )


class Approve(Schema):
    """Which version."""

    version = fields.String(required=True, validate=_version, **said("The version's number."))


class Drill(Schema):
    """A fault for a test cohort."""

    fault = fields.String(required=True, validate=validate.OneOf(["error", "latency", "nan"]), **said("What goes wrong."))
    rate = fields.Float(
        required=True,
        validate=validate.Range(0, 1, min_inclusive=False),
        **said("Share of the cohort's requests to the candidate that suffer it."),
    )
    seconds = fields.Float(
        load_default=60.0,
        validate=validate.Range(1, MAX_DRILL_SECONDS),
        **said("The drill ends by itself after this time."),
    )
