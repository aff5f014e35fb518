"""Which version can take which one's place: inputs may widen, outputs may not lose anything."""

from typing import Any

import pytest

from registry_hooks.gates.compatibility import accepts_all, accepts_params, answers_alike, observed_alike
from registry_hooks.gates.signatures import read_form, read_params


def column(kind: str, name: str | None = "a", **more: Any) -> dict[str, Any]:
    return {"type": kind, **({"name": name} if name else {}), **more}


def tensor(dtype: str, *shape: int, name: str | None = None) -> dict[str, Any]:
    return {"type": "tensor", **({"name": name} if name else {}), "tensor-spec": {"dtype": dtype, "shape": list(shape)}}


def person(**properties: str) -> dict[str, Any]:
    return column("object", properties={name: {"type": kind, "required": True} for name, kind in properties.items()})


SAME = column("double")
OPTIONAL = column("double", required=False)


@pytest.mark.parametrize(
    ("live", "candidate", "expected"),
    [
        ([SAME], [SAME], None),
        (None, None, None),
        ([SAME], None, None),
        (None, [SAME], "says nothing about its inputs"),
        # columns come and go
        ([SAME], [SAME, column("string", "b", required=False)], None),
        ([SAME], [SAME, column("string", "b")], "the column b is new and required"),
        ([SAME, column("string", "b")], [SAME], "the column b is gone"),
        ([SAME, column("string", "b")], [column("string", "b"), SAME], None),
        ([OPTIONAL], [SAME], "was optional and is required"),
        ([SAME], [OPTIONAL], None),
        # types widen
        ([column("integer")], [column("long")], None),
        ([column("integer")], [column("double")], None),
        ([column("long")], [column("double")], None),
        ([column("float")], [column("double")], None),
        ([column("double")], [column("any")], None),
        ([column("long")], [column("integer")], "was int64 and is int32"),
        ([column("double")], [column("float")], "was float64 and is float32"),
        ([column("double")], [column("long")], "was float64 and is int64"),
        ([column("integer")], [column("float")], "was int32 and is float32"),
        ([column("boolean")], [column("integer")], "was bool and is int32"),
        ([column("string")], [column("double")], "was str and is float64"),
        ([column("any")], [column("string")], "was anything and is str"),
        # columns without names
        ([column("double", None)], [column("double", None)], None),
        ([column("float", None)] * 2, [column("double", None)] * 2, None),
        ([column("double", None)], [column("double", None)] * 2, "the columns were 1 without names and are 2"),
        ([column("double", None)], [SAME], "the columns were"),
        # nested
        ([column("array", items={"type": "integer"})], [column("array", items={"type": "long"})], None),
        ([column("array", items={"type": "long"})], [column("array", items={"type": "integer"})], "was array of int64"),
        ([column("map", values={"type": "long"})], [column("array", items={"type": "long"})], "was map of int64"),
        ([person(age="integer")], [person(age="double")], None),
        ([person(age="integer", name="string")], [person(age="integer")], "was object and is object"),
        ([person(age="integer")], [person(age="integer", name="string")], "was object and is object"),
        # tensors
        ([tensor("float32", -1, 4)], [tensor("float32", -1, 4)], None),
        ([tensor("float32", -1, 4)], [tensor("float64", -1, -1)], None),
        ([tensor("float64", -1, 4)], [tensor("float32", -1, 4)], "was float64 and is float32"),
        ([tensor("uint8", -1, 4)], [tensor("int16", -1, 4)], None),
        ([tensor("uint8", -1, 4)], [tensor("int8", -1, 4)], "was uint8 and is int8"),
        ([tensor("int64", -1, 4)], [tensor("float64", -1, 4)], None),
        ([tensor("<U10", -1)], [tensor("<U3", -1)], None),
        ([tensor("float32", -1, 4)], [tensor("float32", -1, 5)], "had the shape"),
        ([tensor("float32", -1, 4)], [tensor("float32", 1, 4)], "had the shape"),
        ([tensor("float32", -1, 4)], [tensor("float32", -1, 4, 1)], "had the shape"),
        ([tensor("float32", -1, name="x")], [tensor("float32", -1)], None),
        ([tensor("float32", -1)], [tensor("float32", -1, name="x")], "is gone"),
        ([tensor("float32", -1, name="x")], [tensor("float32", -1, name="y")], "the tensor x is gone"),
        (
            [tensor("float32", -1, name="x")],
            [tensor("float32", -1, name="x"), tensor("float32", -1, name="y")],
            "the tensor y is new",
        ),
        ([tensor("float64", -1, 1)], [column("double", None)], "takes tensors, this version columns"),
    ],
)
def test_a_version_accepts_all_that_the_live_one_accepts(live: Any, candidate: Any, expected: str | None) -> None:
    found = accepts_all(read_form(live), read_form(candidate))
    assert (expected in found[0]) if expected else found == []


@pytest.mark.parametrize(
    ("live", "candidate", "expected"),
    [
        ([column("double")], [column("double")], None),
        (None, [column("double")], None),
        ([column("double")], None, "does not: log it with a signature"),
        ([column("double")], [column("float")], None),
        ([column("float")], [column("double")], None),
        ([column("double")], [column("long")], None),
        ([column("long")], [column("double")], "was int64 and is float64"),
        ([column("long")], [column("integer")], None),
        ([column("long")], [column("boolean")], "was int64 and is bool"),
        ([column("string")], [column("double")], "was str and is float64"),
        ([column("any")], [column("double")], None),
        ([column("double")], [column("any")], "was float64 and is anything"),
        ([column("double")], [column("double"), column("double", "b")], None),
        ([column("double"), column("double", "b")], [column("double")], "the output b is missing"),
        ([column("double")], [column("double", required=False)], "need not be"),
        ([column("double", None)], [column("double")], "the outputs were"),
        ([tensor("int64", -1)], [tensor("int32", -1)], None),
        ([tensor("int64", -1)], [tensor("int64", -1, 3)], "had the shape"),
        ([tensor("float32", -1, 3)], [tensor("float32", -1, 4)], "had the shape"),
        ([tensor("float32", -1, 3)], [tensor("float32", -1, -1)], "had the shape"),
        ([tensor("float32", -1, -1)], [tensor("float32", -1, 3)], None),
        ([tensor("int64", -1)], [tensor("int64", -1, name="label")], "the outputs were"),
        ([tensor("int64", -1)], [column("long", None)], "answers tensors, this version columns"),
        ([person(age="double")], [person(age="float", name="string")], None),
        ([person(age="double", name="string")], [person(age="double")], "was object"),
    ],
)
def test_a_version_answers_as_the_live_one_does(live: Any, candidate: Any, expected: str | None) -> None:
    found = answers_alike(read_form(live), read_form(candidate))
    assert (expected in found[0]) if expected else found == []


@pytest.mark.parametrize(
    ("live", "candidate", "expected"),
    [
        ([], [{"name": "new", "type": "double", "default": 1.0}], None),
        ([{"name": "a", "type": "integer", "default": 1}], [{"name": "a", "type": "double", "default": 2.0}], None),
        ([{"name": "a", "dtype": "double", "default": 1.0}], [{"name": "a", "type": "long", "default": 2}], "the param a was"),
        ([{"name": "a", "type": "double", "default": 1.0}], [], "the param a is gone"),
        (
            [{"name": "a", "type": "double", "default": 1.0}],
            [{"name": "a", "type": "double", "default": [1.0], "shape": [-1]}],
            "the param a was",
        ),
    ],
)
def test_params_stay_acceptable(live: Any, candidate: Any, expected: str | None) -> None:
    found = accepts_params(read_params(live), read_params(candidate))
    assert (expected in found[0]) if expected else found == []


def came(name: str, datatype: str = "FP32", *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


@pytest.mark.parametrize(
    ("live", "candidate", "expected"),
    [
        ([came("y", "FP32", 2)], [came("y", "FP64", 9)], None),
        ([came("y", "FP32", 2)], [came("y", "FP32", 2), came("z")], None),
        ([came("y", "FP32", 2)], [came("", "FP32", 2)], "answers y, this version answers one without a name"),
        ([came("y", "FP32", 2)], [came("y", "FP32", 2, 1)], "had 1 dimensions and has 2"),
        ([came("y", "FP32", 2)], [came("y", "BYTES", 2)], "was FP32 and is BYTES"),
        ([came("", "JSON")], [came("y")], None),
    ],
)
def test_answers_that_really_came_are_alike(live: Any, candidate: Any, expected: str | None) -> None:
    found = observed_alike(live, candidate)
    assert (expected in found[0]) if expected else found == []


@pytest.mark.parametrize(
    "specs",
    [
        [{"name": "a"}],
        [{"type": "decimal", "name": "a"}],
        [{"type": "tensor"}],
        [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": None}}],
        [{"type": "array", "name": "a"}],
        [{"type": "object", "name": "a", "properties": []}],
        [{"type": ["double"]}],
        ["double"],
    ],
)
def test_what_is_no_signature_of_mlflow_is_refused(specs: Any) -> None:
    with pytest.raises(ValueError, match=r"not a signature|not known"):
        read_form(specs)


def test_endless_nesting_is_refused() -> None:
    spec: dict[str, Any] = {"type": "double"}
    for _ in range(100):
        spec = {"type": "array", "items": spec}
    with pytest.raises(ValueError, match="deeply"):
        read_form([spec])
