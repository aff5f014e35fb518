"""Bodies of the three prediction protocols."""

from marshmallow import Schema, fields

from serving.gateway.schemas.fields import anything, maybe, text


class DataframeSplit(Schema):
    """A table as pandas writes it with orient="split"."""

    columns = fields.List(fields.String(), required=True)
    index = fields.List(fields.Raw())
    data = fields.List(fields.List(fields.Raw()), required=True)


class Invocation(Schema):
    """MLflow's scoring protocol: exactly one of the four kinds of data, and parameters if the signature has them."""

    dataframe_split = fields.Nested(DataframeSplit)
    dataframe_records = fields.List(fields.Dict(), metadata={"description": "Rows as objects."})
    instances = anything("Rows, or objects of named tensors.")
    inputs = anything("A tensor as nested lists, or an object of named tensors or columns.")
    params = fields.Dict(metadata={"description": "Parameters of the signature; absent ones keep their default."})


class InvocationAnswer(Schema):
    """MLflow's answer: records for a table, nested lists for an array, an object for named outputs."""

    predictions = fields.Raw(required=True)


class RequestTensor(Schema):
    """One input tensor of the Open Inference Protocol."""

    name = text("Name of the tensor or column.")
    shape = fields.List(fields.Integer(), required=True)
    datatype = text("BOOL, INT8 ... INT64, UINT8 ... UINT64, FP16, FP32, FP64 or BYTES.")
    parameters = fields.Dict()
    data = anything("The elements in row-major order, flat or nested; absent with binary data.")


class RequestedOutput(Schema):
    """One output that is asked for."""

    name = text("Name of the output.")
    parameters = fields.Dict()


class InferRequest(Schema):
    """A request of the Open Inference Protocol v2."""

    id = fields.String(metadata={"description": "Comes back in the answer."})
    parameters = fields.Dict()
    inputs = fields.List(fields.Nested(RequestTensor), required=True)
    outputs = fields.List(fields.Nested(RequestedOutput), metadata={"description": "All outputs, if absent."})


class AnswerTensor(Schema):
    """One output tensor of the Open Inference Protocol."""

    name = text("Name of the output.")
    shape = fields.List(fields.Integer(), required=True)
    datatype = text("Type of the elements.")
    parameters = fields.Dict()
    data = anything("The elements in row-major order, flat; absent with binary data.")


class InferAnswer(Schema):
    """An answer of the Open Inference Protocol v2."""

    model_name = text("The model.")
    model_version = text("The version that answered.")
    id = fields.String()
    parameters = fields.Dict()
    outputs = fields.List(fields.Nested(AnswerTensor), required=True)


class PredictRequest(Schema):
    """The simple API."""

    data = fields.Raw(required=True, metadata={"description": "Numbers, rows of numbers, or objects with a value per column."})
    shape = fields.List(fields.Integer(), metadata={"description": "Shape of flat data."})
    metadata = fields.Dict(metadata={"description": "Comes back in the answer, unread."})


class PredictAnswer(Schema):
    """The answer of the simple API."""

    request_id = text("Id of this request.")
    predictions = fields.Raw(required=True)
    confidence = maybe(fields.Raw, "Highest probability of each row, where the model tells probabilities.")
    metadata = maybe(fields.Dict, "What was sent along.")
    processing_time_ms = fields.Float(required=True)
