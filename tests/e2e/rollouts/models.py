"""Versions of one small model, without training: what they take, answer and break on is written in their graph."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from onnx import TensorProto, helper

Files = Mapping[str, bytes]

EXAMPLE = 4.0
"""The logged input example. Gates see this one number, so what breaks on negative ones passes them."""


def _version(*nodes: tuple[str, Sequence[str], str], rows: int = -1, factor: float = 1.0) -> Files:
    shape = [None if rows < 0 else rows, 1]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    constant = helper.make_tensor("k", TensorProto.FLOAT, [1, 1], [factor])
    steps = [helper.make_node(operation, inputs, [output]) for operation, inputs, output in nodes]
    graph = helper.make_graph(steps, "root", [x], [y], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [rows, 1]}}
    content: dict[str, Any] = {
        "flavors": {"onnx": {"data": "model.onnx"}},
        "signature": {name: json.dumps([{"name": of, **tensor}]) for name, of in (("inputs", "x"), ("outputs", "y"))},
        "saved_input_example_info": {"serving_input_path": "serving_input_example.json"},
    }
    return {
        "MLmodel": yaml.safe_dump(content).encode(),
        "model.onnx": model.SerializeToString(),
        "serving_input_example.json": json.dumps({"inputs": {"x": [[EXAMPLE]]}}).encode(),
    }


GOOD = _version(("Abs", ["x"], "positive"), ("Sqrt", ["positive"], "y"))
"""The root of every number's absolute value."""

HARMFUL = _version(("Sqrt", ["x"], "y"))
"""No number for a negative one; passes the gates."""

OTHER = _version(("Abs", ["x"], "positive"), ("Sqrt", ["positive"], "root"), ("Mul", ["root", "k"], "y"), factor=2.0)
"""Answers, but differently."""

NAN_ON_EXAMPLE = _version(("Neg", ["x"], "negative"), ("Sqrt", ["negative"], "y"))
"""No number for its own logged example."""

NARROWER = _version(("Abs", ["x"], "positive"), ("Sqrt", ["positive"], "y"), rows=1)
"""Takes one row at a time, where the others take any number."""

BROKEN: Files = {**GOOD, "model.onnx": GOOD["model.onnx"][: len(GOOD["model.onnx"]) // 2]}
"""Half of the model file is missing."""
