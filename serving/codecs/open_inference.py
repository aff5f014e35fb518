"""Open Inference Protocol v2 over REST, with the binary tensor data extension.

Columns of a signature are tensors of shape [n] or [n, 1]; a signature whose columns are of one number type also takes
one tensor of shape [n, columns] by any name. An unnamed output is called as the signature calls it, else `output-1`, as
in MLServer. Request parameters that the signature names as params reach the model.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

from serving.codecs.json_body import read_object, refuse_unknown
from serving.codecs.render import dump
from serving.codecs.tensor_bytes import DATATYPES, from_bytes, from_values, numbers_or_strings, to_bytes, to_values
from serving.codecs.wire import JSON, OCTETS, Answer, Decoded, Encoded, Wire, media_type
from serving.schema import Signature
from serving.schema.kinds import objects
from serving.schema.shapes import checked_shape, describe, unnest
from serving.values import UNNAMED, Array, Arrays, Outputs, oip_datatype
from stagedoor.errors import InvalidRequest, MalformedHeader, SchemaMismatch

_HEADER: Final = "Inference-Header-Content-Length"
_KEYS: Final = frozenset(("id", "parameters", "inputs", "outputs"))
_INPUT_KEYS: Final = frozenset(("name", "shape", "datatype", "parameters", "data"))
_OUTPUT_KEYS: Final = frozenset(("name", "parameters"))
_BINARY_OUTPUT: Final = "binary_data_output"
_IGNORED: Final = frozenset(
    (_BINARY_OUTPUT, "content_type", "headers", "timeout", "priority", "sequence_id", "sequence_start", "sequence_end")
)


@dataclass(frozen=True, slots=True)
class _Reply:
    """How the caller wants the answer: `outputs` maps requested names to whether they go in binary; None is all."""

    id: str | None
    outputs: dict[str, bool] | None
    binary: bool


class OpenInference:
    """`POST /v2/models/{name}/infer`. A missing content type is taken as JSON, since tritonclient sends none."""

    def decode(self, wire: Wire, signature: Signature, max_rows: int) -> Decoded:
        """Read and check a request."""
        media_type(wire.content_type, (JSON, OCTETS, ""))
        header, raw = _divided(wire)
        body = read_object(header)
        refuse_unknown(body, _KEYS, "The body")
        parameters = _parameters(body)
        reply = _reply(body, parameters)
        inputs = signature.form.tensors(_tensors(body.get("inputs"), raw, max_rows), max_rows)
        known = signature.params.specs
        params = {name: value for name, value in parameters.items() if name in known or name not in _IGNORED}
        return Decoded(signature.with_params(inputs, params), reply)

    def encode(self, outputs: Outputs, decoded: Decoded, signature: Signature, answer: Answer) -> Encoded:
        """All outputs or the requested ones, in JSON or in binary as the caller asked."""
        reply = decoded.reply if isinstance(decoded.reply, _Reply) else _Reply(None, None, binary=False)
        named = _named(outputs, signature)
        wanted = dict.fromkeys(named, reply.binary) if reply.outputs is None else reply.outputs
        if not wanted.keys() <= named.keys():
            raise InvalidRequest(f"The model has no such output. It has: {', '.join(named)}.")
        tensors, chunks = [], []
        for name, binary in wanted.items():
            array = numbers_or_strings(named[name])
            tensor: dict[str, Any] = {"name": name, "datatype": oip_datatype(array.dtype), "shape": array.shape or (1,)}
            if binary:
                chunks.append(to_bytes(array))
                tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
            else:
                tensor["data"] = to_values(array)
            tensors.append(tensor)
        told = {"model_name": answer.model, "model_version": answer.version, "id": reply.id or answer.request_id}
        header = dump({**told, "outputs": tensors})
        if not chunks:
            return Encoded(header)
        return Encoded(b"".join((header, *chunks)), OCTETS, ((_HEADER, str(len(header))),))


def _divided(wire: Wire) -> tuple[bytes, memoryview]:
    stated = wire.headers.get(_HEADER.lower())
    if stated is None:
        return wire.body, memoryview(b"")
    if not (stated.isascii() and stated.isdigit() and len(stated) < 16 and int(stated) <= len(wire.body)):  # noqa: PLR2004
        raise MalformedHeader(_HEADER, "it must be the length of the JSON part, in bytes")
    size = int(stated)
    return wire.body[:size], memoryview(wire.body)[size:]


def _parameters(part: dict[str, Any]) -> dict[str, Any]:
    parameters = part.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict:
        raise InvalidRequest("`parameters` must be an object.")
    if any(name.startswith("shared_memory_") for name in parameters):
        raise InvalidRequest("Shared memory is not supported. Send the tensors in JSON or in binary.")
    return parameters


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise InvalidRequest(f"The parameter {name} must be true or false.")
    return value


def _reply(body: dict[str, Any], parameters: dict[str, Any]) -> _Reply:
    stated = body.get("id")
    if stated is not None and type(stated) is not str:
        raise InvalidRequest("`id` must be a string.")
    binary = _flag(parameters, _BINARY_OUTPUT, default=False)
    outputs = body.get("outputs")
    if not outputs and (outputs is None or type(outputs) is list):
        return _Reply(stated, None, binary)
    if type(outputs) is not list or any(type(part) is not dict or type(part.get("name")) is not str for part in outputs):
        raise InvalidRequest("`outputs` must be a list of objects with a name each.")
    wanted: dict[str, bool] = {}
    for part in outputs:
        refuse_unknown(part, _OUTPUT_KEYS, "An output")
        given = _parameters(part)
        if "classification" in given:
            raise InvalidRequest("The classification extension is not supported. Ask for the output itself.")
        wanted[part["name"]] = _flag(given, "binary_data", default=binary)
    return _Reply(stated, wanted, binary)


def _tensors(parts: object, raw: memoryview, max_rows: int) -> Arrays:
    if type(parts) is not list or not parts or any(type(part) is not dict for part in parts):
        raise InvalidRequest("`inputs` must be a list of at least one tensor.")
    arrays: dict[str, Array] = {}
    for part in parts:
        name, size = part.get("name"), _binary_size(part)
        if type(name) is not str or name in arrays:
            raise InvalidRequest("Each input needs a name of its own.")
        refuse_unknown(part, _INPUT_KEYS, "An input")
        if size is not None and size > len(raw):
            raise SchemaMismatch("binary_data_size", "no more than the bytes that follow", "more")
        arrays[name] = _tensor(part, None if size is None else raw[:size], max_rows)
        raw = raw[size or 0 :]
    if len(raw):
        raise InvalidRequest("The body has more binary data than its inputs state.")
    return arrays


def _binary_size(part: dict[str, Any]) -> int | None:
    size = _parameters(part).get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0 or "data" in part:
        raise InvalidRequest("binary_data_size must be a number of bytes, and takes the place of `data`.")
    return size


def _tensor(part: dict[str, Any], raw: memoryview | None, max_rows: int) -> Array:
    shape, datatype = checked_shape(part.get("shape"), "shape"), part.get("datatype")
    if type(datatype) is not str or datatype not in DATATYPES:
        raise SchemaMismatch("datatype", f"one of {', '.join(DATATYPES)}", "another")
    count = math.prod(shape)
    if raw is not None:
        return from_bytes(raw, datatype, count, "inputs").reshape(shape)
    own, flat = unnest(part.get("data"), "data", max(max_rows * max(1, math.prod(shape[1:])), 1))
    if len(flat) != count or (len(own) > 1 and own != shape) or not own:
        raise SchemaMismatch("data", describe(shape), describe(own) if own else "no list")
    return from_values(flat, datatype, "data").reshape(shape)


def _named(outputs: Outputs, signature: Signature) -> Arrays:
    if outputs.kind in ("named", "table"):
        return outputs.arrays
    name = signature.outputs[0].name if len(signature.outputs) == 1 else "output-1"
    return {name: outputs.arrays[UNNAMED] if outputs.kind == "array" else objects([outputs.value])}
