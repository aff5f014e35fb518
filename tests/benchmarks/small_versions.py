"""Versions of one small model, without training: what they answer and what they break on is written in their graph."""

import json
from collections.abc import Mapping, Sequence

import yaml
from onnx import TensorProto, helper

Files = Mapping[str, bytes]
EXAMPLE = 4.0
"""The logged input example. Gates see this one number, so what breaks on negative ones passes them."""
BODIES = tuple(json.dumps({"inputs": {"x": [[x]]}}).encode() for x in (EXAMPLE, -EXAMPLE))
"""Two requests; `HARMFUL` has no answer to the second one."""


def _version(*nodes: tuple[str, Sequence[str], str]) -> Files:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "y"))
    steps = [helper.make_node(operation, inputs, [output]) for operation, inputs, output in nodes]
    graph = helper.make_graph(steps, "root", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 1]}}
    record = {
        "flavors": {"onnx": {"data": "model.onnx"}},
        "signature": {kind: json.dumps([{"name": name, **tensor}]) for kind, name in (("inputs", "x"), ("outputs", "y"))},
        "saved_input_example_info": {"serving_input_path": "serving_input_example.json"},
    }
    return {
        "MLmodel": yaml.safe_dump(record).encode(),
        "model.onnx": model.SerializeToString(),
        "serving_input_example.json": json.dumps({"inputs": {"x": [[EXAMPLE]]}}).encode(),
    }


GOOD = _version(("Abs", ["x"], "positive"), ("Sqrt", ["positive"], "y"))
"""The root of any number's absolute value."""
HARMFUL = _version(("Sqrt", ["x"], "y"))
"""Not a number for half of the requests; passes the gates."""
REFUSED = _version(("Neg", ["x"], "negative"), ("Sqrt", ["negative"], "y"))
"""Not a number for its own logged example."""
