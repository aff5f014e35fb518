"""What is told about models."""

from marshmallow import Schema, fields

from serving.gateway.schemas.fields import integer, maybe, text, texts


class Tensor(Schema):
    """What goes in or comes out: one tensor or column. -1 in a shape is any size."""

    name = text("Its name; empty if it has none.")
    datatype = text("Type, in the names of the Open Inference Protocol.")
    shape = fields.List(fields.Integer(), required=True)


class Arm(Schema):
    """One version with its share of the plain-name traffic."""

    name = text("The alias or stage that it came from.")
    version = text("The version.")
    weight = integer("Share in basis points; the arms of a route add up to 10,000.")


class Rolling(Schema):
    """A version that takes over machine by machine."""

    version = text("The version.")
    nodes = fields.List(fields.String(), required=True, metadata={"description": "The machines that have it already."})


class Drill(Schema):
    """A fault put into the candidate, for a test cohort alone."""

    fault = text("error, latency or nan.")
    rate = fields.Float(required=True, metadata={"description": "Share of the cohort's requests that suffer it."})
    until = fields.Float(required=True, metadata={"description": "When it ends by itself, seconds since 1970."})


class Route(Schema):
    """How plain-name traffic splits. The first arm is the stable one."""

    epoch = integer("Which route it is: of a controller's count, or the serial of the snapshot in which it began.")
    reason = text("Why it is so.")
    sticky = maybe(fields.String, "Where the unit of assignment comes from; null: each request by itself.")
    arms = fields.List(fields.Nested(Arm), required=True)
    issued = fields.Boolean(required=True, metadata={"description": "Whether a controller issued it."})
    watched = fields.Boolean(required=True, metadata={"description": "Whether outcomes are counted by epoch."})
    slow_seconds = maybe(fields.Float, "What counts as a slow answer.")
    warm = fields.List(fields.String(), required=True, metadata={"description": "Versions kept in memory to go back to."})
    shield = fields.Boolean(required=True, metadata={"description": "Whether the stable version answers for a failing one."})
    mirror = maybe(fields.String, "A version that gets a copy of each request.")
    rolling = fields.Nested(Rolling, required=True, allow_none=True)
    drill = fields.Nested(Drill, required=True, allow_none=True)


class Model(Schema):
    """A model as this worker serves it."""

    name = text("Its name in MLflow.")
    live = fields.Boolean(required=True, metadata={"description": "Whether the plain name is served."})
    aliases = texts("Version by alias.")
    stages = texts("Version by stage.")
    route = fields.Nested(Route, required=True, allow_none=True)
    loaded = fields.List(fields.String(), required=True, metadata={"description": "Versions in memory."})


class Models(Schema):
    """The models that the token may see."""

    models = fields.List(fields.Nested(Model), required=True)


class ModelDetail(Model):
    """A model, and what the version meant takes and gives."""

    version = text("The version that the name asked for means now.")
    flavor = text("What runs it.")
    inputs = fields.List(fields.Nested(Tensor), required=True)
    outputs = fields.List(fields.Nested(Tensor), required=True)


class ModelInfo(Schema):
    """The simple API's description of a model."""

    name = text("Its name.")
    version = text("The live version.")
    type = text("What runs it.")
    input_shape = fields.List(fields.Integer(), required=True)
    output_shape = fields.List(fields.Integer(), required=True)
    inputs = fields.List(fields.Nested(Tensor), required=True)
    outputs = fields.List(fields.Nested(Tensor), required=True)


class ServerMetadata(Schema):
    """The Open Inference Protocol's server metadata."""

    name = text("stagedoor.")
    version = text("Version of Stagedoor.")
    extensions = fields.List(fields.String(), required=True)


class ModelMetadata(Schema):
    """The Open Inference Protocol's model metadata."""

    name = text("The model.")
    versions = fields.List(fields.String(), required=True)
    platform = text("What runs it.")
    inputs = fields.List(fields.Nested(Tensor), required=True)
    outputs = fields.List(fields.Nested(Tensor), required=True)


class ModelReady(Schema):
    """Whether a version is in memory."""

    name = text("The model.")
    version = text("The version.")
    ready = fields.Boolean(required=True)
