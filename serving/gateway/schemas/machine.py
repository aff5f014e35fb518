"""What is told about this machine."""

from typing import Final

from marshmallow import Schema, fields, validate

from serving.gateway.schemas.fields import integer, maybe, text, texts
from serving.gateway.schemas.models import Route

_STATUS: Final = ("healthy", "degraded", "unhealthy")
_MODES: Final = ("aliases", "route")
_STATES: Final = ("pending", "ready", "refused")


class Live(Schema):
    """The Open Inference Protocol's liveness."""

    live = fields.Boolean(required=True)


class Ready(Schema):
    """The Open Inference Protocol's readiness."""

    ready = fields.Boolean(required=True)


class Livez(Schema):
    """The process answers."""

    status = text("alive.")


class Readyz(Schema):
    """Whether requests can be answered."""

    status = text("ready, or not ready.")
    serial = integer("Serial of the snapshot in force; 0 before the first.")
    staleness_seconds = maybe(fields.Float, "Age of what is known of the registry; null: never read.")
    registry_error = maybe(fields.String, "Why the last read of the registry failed.")


class Health(Schema):
    """The machine's health, with a sentence for each reason."""

    status = text("How it is.", validate=validate.OneOf(_STATUS))
    reasons = fields.List(fields.String(), required=True)
    timestamp = text("When this was judged, ISO 8601.")
    version = text("Version of Stagedoor.")
    problems = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "By model; with a viewer's token only."},
    )


class Judgement(Schema):
    """Health without the moment."""

    status = text("How it is.", validate=validate.OneOf(_STATUS))
    reasons = fields.List(fields.String(), required=True)


class Registry(Schema):
    """How the last read of the registry went."""

    attempted_at = fields.Float(required=True)
    succeeded_at = maybe(fields.Float, "The last good read, seconds since 1970.")
    error = maybe(fields.String, "Why the last read failed.")
    read_seconds = fields.Float(required=True)
    models = fields.Integer(required=True)
    problems = fields.Integer(required=True)


class VersionState(Schema):
    """How far a version has come on this machine."""

    version = text("Its number.")
    state = text("pending, ready or refused.", validate=validate.OneOf(_STATES))
    digest = text("SHA-256 of its files.")
    flavor = text("What runs it.")
    memory_bytes = integer("Memory it takes.")
    code = text("Code of the failure of a refused version.")
    reason = text("Why it was refused.")
    compiled = text("SHA-256 of the ONNX graph that is served in its place; empty: none is.")


class Introduction(Schema):
    """Who answers at this address, and where to find the other planes."""

    role = text("gateway.")
    controller = maybe(fields.String, "Address of the controller; null: none is known here.")
    version = text("Version of Stagedoor.")


class ModelStatus(Schema):
    """What is asked for, what is served, and the difference."""

    name = text("Its name in MLflow.")
    live = fields.Boolean(required=True)
    aliases = texts("Effective version by alias.")
    stages = texts("Effective version by stage.")
    policy = maybe(fields.String, "The traffic tag in force.")
    sticky = maybe(fields.String, "The sticky tag in force.")
    route = fields.Nested(Route, required=True, allow_none=True)
    versions = fields.List(fields.Nested(VersionState), required=True)
    problems = fields.List(fields.String(), required=True)


class Status(Schema):
    """Everything about this machine that a viewer may know."""

    version = text("Version of Stagedoor.")
    node = text("Name of this machine among several gateways.")
    follow = text("What is served: what the aliases name, or what a controller's route says.", validate=validate.OneOf(_MODES))
    now = fields.Float(required=True, metadata={"description": "Seconds since 1970."})
    serial = integer("Serial of the snapshot published last.")
    health = fields.Nested(Judgement, required=True)
    staleness_seconds = maybe(fields.Float, "Age of what is known of the registry; null: never read.")
    registry = fields.Nested(Registry, required=True, allow_none=True)
    models = fields.List(fields.Nested(ModelStatus), required=True)
    workers = fields.List(
        fields.Dict(), required=True, metadata={"description": "What each gateway worker reports; `routes` has the epochs."}
    )


class Accepted(Schema):
    """It will be done."""

    status = text("accepted.")
