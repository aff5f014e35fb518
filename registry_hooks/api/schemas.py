"""Answers, as the OpenAPI document describes them; tests hold the real ones against these."""

from typing import Final

from marshmallow import Schema, fields, validate

from registry_hooks.api.fields import said

PHASES: Final = (
    "idle",
    "gating",
    "canary",
    "shadow",
    "rolling",
    "baking",
    "paused",
    "frozen",
    "refused",
    "drill",
)


class Judged(Schema):
    """What the judge says at this moment."""

    kind = fields.String(validate=validate.OneOf(["promote", "roll_back", "hold", "freeze"]))
    reason = fields.String()
    numbers = fields.Dict(keys=fields.String(), values=fields.Float(), **said("e-values and counts by name."))


class Gate(Schema):
    """What one gate found."""

    gate = fields.String()
    outcome = fields.String(validate=validate.OneOf(["pass", "fail", "error", "wait"]))
    reason = fields.String()
    evidence = fields.Dict()


class Last(Schema):
    """How the last rollout ended."""

    outcome = fields.String(**said("promoted, rolled_back, refused, aborted, returned or drilled."))
    version = fields.String()
    reason = fields.String()
    at = fields.Float(**said("Seconds since 1970."))
    epoch = fields.Integer()


class Model(Schema):
    """One model as the controller sees it."""

    model = fields.String(required=True)
    stable = fields.String(required=True, allow_none=True, **said("The version that is live."))
    phase = fields.String(required=True, validate=validate.OneOf(PHASES))
    candidate = fields.String(allow_none=True, **said("The version on its way."))
    strategy = fields.String(allow_none=True)
    step = fields.Integer(allow_none=True, **said("Index into steps."))
    steps = fields.List(fields.Integer(), **said("The candidate's shares in basis points."))
    weight = fields.Integer(allow_none=True, **said("The candidate's share now, in basis points."))
    epoch = fields.Integer(allow_none=True)
    who = fields.String(allow_none=True, **said("Who asked for it."))
    started_at = fields.Float(allow_none=True)
    waiting_for = fields.String(allow_none=True)
    verdict = fields.Nested(Judged, allow_none=True)
    rules = fields.Dict(allow_none=True, **said("alpha, beta and delta: an e-value counts at one over alpha or beta."))
    gates = fields.List(fields.Nested(Gate))
    last = fields.Nested(Last, allow_none=True)
    problems = fields.List(fields.String())
    updated_at = fields.Float()


class Asked(Model):
    """The model as it was when the command had been taken down."""

    asked_at = fields.Float(required=True, **said("What the controller decides on it carries a later time."))
    target = fields.String(allow_none=True, **said("The version that is to be live."))


class Drilled(Asked):
    """The same, and the cohort."""

    cohort = fields.String(required=True, **said("Send it as X-Stagedoor-Cohort to take part."))
    fault = fields.String(required=True)
    rate = fields.Float(required=True)
    until = fields.Float(required=True)


class Models(Schema):
    """All models that the token may see."""

    models = fields.List(fields.Nested(Model), required=True)
    missing = fields.List(fields.String(), required=True, **said("What the controller itself waits for."))


class Entry(Schema):
    """One row of the ledger."""

    seq = fields.Integer()
    at = fields.Float()
    model = fields.String()
    kind = fields.String()
    who = fields.String()
    from_version = fields.String(allow_none=True)
    to_version = fields.String(allow_none=True)
    live = fields.String(allow_none=True, **said("The version that was live after it."))
    epoch = fields.Integer()
    reason = fields.String()
    evidence = fields.Dict()
    generation = fields.Integer()
    hash = fields.String()


class Life(Schema):
    """A version that was live."""

    version = fields.String(allow_none=True)
    since = fields.Float()
    seq = fields.Integer()
    who = fields.String()


class History(Schema):
    """What was decided, newest first."""

    model = fields.String(required=True)
    at = fields.Float(allow_none=True)
    live = fields.Nested(Life, allow_none=True)
    entries = fields.List(fields.Nested(Entry), required=True)


class Arm(Schema):
    """One version with its share, in basis points."""

    name = fields.String(required=True)
    version = fields.String(required=True)
    weight = fields.Integer(required=True)


class Route(Schema):
    """The split of one epoch, with all that decides where a unit falls."""

    model = fields.String(required=True)
    epoch = fields.Integer(required=True)
    arms = fields.List(fields.Nested(Arm), required=True)
    salt = fields.String(required=True, **said("Key of the hash, hexadecimal."))
    sticky = fields.String(allow_none=True)
    reason = fields.String()
    by = fields.String()
    aliases = fields.Dict()
    watched = fields.Boolean()
    slow_seconds = fields.Float(allow_none=True)
    warm = fields.List(fields.String())
    shield = fields.Boolean()
    mirror = fields.String(allow_none=True)
    rolling = fields.Dict(allow_none=True)
    drill = fields.Dict(allow_none=True)
    decided = fields.Nested(Entry, allow_none=True)


class Verification(Schema):
    """What a walk along the ledger's chain found."""

    sound = fields.Boolean(required=True)
    rows = fields.Integer(required=True, **said("Sound rows."))
    first_bad = fields.Integer(required=True, allow_none=True, **said("The first row that is not what was written."))
    why = fields.String(required=True)
    head = fields.String(required=True, **said("Hash of the newest sound row; note it elsewhere."))


class Role(Schema):
    """What answers here, and where the rest is."""

    role = fields.String(required=True)
    controller = fields.String(required=True, allow_none=True)
    gateway = fields.String(required=True, allow_none=True)
    mlflow = fields.String(required=True, allow_none=True)
    version = fields.String(required=True)


class State(Schema):
    """A probe's answer."""

    status = fields.String(required=True)
    missing = fields.List(fields.String(), **said("What is not there yet."))


class Problem(Schema):
    """RFC 9457 problem; `code` never changes."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    request_id = fields.String(required=True)
