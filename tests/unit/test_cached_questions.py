"""When two requests ask the same: the same data for the same content by callers of the same rights, in any protocol."""

import datetime as dt
import sys
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.cache import Question, Source, question, rights_of
from serving.codecs import CODECS, Wire
from serving.schema import compile_signature
from serving.values import Array, Block, Inputs
from stagedoor.auth import Principal

SOURCE = Source("fraud", "1", "aa")


def asked(inputs: Inputs, source: Source = SOURCE, rights: str = "r") -> Question:
    found = question(source, rights, inputs)
    assert found is not None
    return found


def tensors(**arrays: Any) -> Inputs:
    return Inputs("tensors", {name: np.asarray(array) for name, array in arrays.items()}, 1)


def table(**columns: Any) -> Inputs:
    return Inputs("table", {name: np.asarray(column) for name, column in columns.items()}, 1)


def things(*values: Any) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def v2(*parts: bytes) -> bytes:
    keys = ("name", "shape", "datatype", "data")
    return orjson.dumps({"id": "7", "inputs": [dict(zip(keys, orjson.loads(part), strict=True)) for part in parts]})


COLUMNS = [{"name": name, "type": "double", "required": True} for name in ("a", "b")]
MIXED = [{"name": "a", "type": "long", "required": True}, {"name": "b", "type": "string", "required": True}]
BODIES: dict[str, tuple[Any, list[tuple[str, str, bytes]]]] = {
    "one type": (
        COLUMNS,
        [
            ("mlflow", "application/json", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5], [3, -4.25]]}}'),
            ("mlflow", "application/json", b'{"dataframe_split": {"columns": ["b", "a"], "data": [[2.5, 1.0], [-4.25, 3]]}}'),
            ("mlflow", "application/json", b'{"dataframe_records": [{"b": 2.5, "a": 1.0}, {"a": 3, "b": -425e-2}]}'),
            ("mlflow", "text/csv", b"b,a\n2.5,1\n-4.25,3\n"),
            ("simple", "application/json", b'{"data": [[1, 2.5], [3, -4.25]], "metadata": {"who": "me"}}'),
            (
                "v2",
                "application/json",
                v2(b'["x", [2, 2], "FP64", [1, 2.5, 3, -4.25]]'),
            ),
            (
                "v2",
                "application/json",
                v2(b'["b", [2], "FP64", [2.5, -4.25]]', b'["a", [2, 1], "FP64", [1, 3]]'),
            ),
        ],
    ),
    "numbers and strings": (
        MIXED,
        [
            ("mlflow", "application/json", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"]]}}'),
            ("mlflow", "text/csv", b"b,a\nx,1\n"),
            (
                "v2",
                "application/json",
                v2(b'["a", [1], "INT64", [1]]', b'["b", [1], "BYTES", ["x"]]'),
            ),
        ],
    ),
}


@pytest.mark.parametrize(("columns", "bodies"), BODIES.values(), ids=BODIES)
def test_the_same_data_in_any_protocol_and_spelling_asks_the_same(columns: Any, bodies: list[tuple[str, str, bytes]]) -> None:
    signature = compile_signature(columns, None, None, (), ())
    questions = {asked(CODECS[codec].decode(Wire(body, kind, {}), signature, 100).inputs) for codec, kind, body in bodies}
    assert len(questions) == 1


DIFFERENT: dict[str, tuple[Inputs, Inputs]] = {
    "a value": (tensors(x=[1.0]), tensors(x=[2.0])),
    "a type of the same width": (tensors(x=np.array([1], np.int64)), tensors(x=np.array([1], np.uint64))),
    "a type": (tensors(x=[1]), tensors(x=[1.0])),
    "a shape": (tensors(x=[[1, 2]]), tensors(x=[1, 2])),
    "a name": (tensors(x=[1]), tensors(y=[1])),
    "the order": (tensors(x=[1], y=[2]), tensors(y=[2], x=[1])),
    "where one array ends": (tensors(x=[1, 2], y=[3]), tensors(x=[1], y=[2, 3])),
    "where a name ends": (tensors(xy=[1], z=[2]), tensors(x=[1], yz=[2])),
    "the kind": (tensors(x=[1]), table(x=[1])),
    "where a string ends": (table(x=things("ab", "c")), table(x=things("a", "bc"))),
    "string and bytes": (table(x=things("1")), table(x=things(b"1"))),
    "string and number": (table(x=things("1")), table(x=things(1))),
    "true and 1": (table(x=things(*[True])), table(x=things(1))),
    "1 and 1.0": (table(x=things(1)), table(x=things(1.0))),
    "null and NaN": (table(x=things(None)), table(x=things(float("nan")))),
    "null and empty": (table(x=things(None)), table(x=things(""))),
    "a list in a list": (table(x=things([1, [2]])), table(x=things([1, 2]))),
    "a list and a string": (table(x=things(["a"])), table(x=things("a"))),
    "an object's key": (table(x=things({"a": 1})), table(x=things({"b": 1}))),
    "a param": (tensors(x=[1])._replace(params={"k": 1}), tensors(x=[1])._replace(params={"k": 2})),
    "a param and its default": (tensors(x=[1])._replace(params={"k": 1}), tensors(x=[1])),
    "a param's type": (tensors(x=[1])._replace(params={"k": 1}), tensors(x=[1])._replace(params={"k": True})),
    "a param's date": (
        tensors(x=[1])._replace(params={"k": dt.date(2026, 1, 1)}),
        tensors(x=[1])._replace(params={"k": dt.datetime(2026, 1, 1)}),  # noqa: DTZ001  as MLflow passes it
    ),
    "a time": (table(x=np.array(["2026-01-01"], "M8[ns]")), table(x=np.array(["2026-01-02"], "M8[ns]"))),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_data_that_differs_asks_another_question(one: Inputs, other: Inputs) -> None:
    assert asked(one) != asked(other)
    assert asked(one) == asked(one)
    assert asked(other) == asked(other)


def test_each_content_and_each_set_of_rights_has_questions_of_its_own() -> None:
    inputs = tensors(x=[1.0])
    sources = [SOURCE._replace(**{field: "zz"}) for field in Source._fields]
    digests = {asked(inputs, source).digest for source in (SOURCE, *sources)} | {asked(inputs, rights="other").digest}
    assert len(digests) == 5


def test_callers_share_answers_where_roles_and_models_are_the_same_whatever_their_names() -> None:
    def who(name: str, *roles: str, models: tuple[str, ...] = ("*",)) -> str:
        return rights_of(Principal(name, frozenset(roles), models, 9e9, {"sub": name}))

    assert who("a", "predictor", "tester") == who("b", "tester", "predictor")
    assert who("a", "predictor", models=("x", "y")) == who("b", "predictor", models=("y", "x"))
    others = [who("a", "predictor"), who("a", "predictor", "tester"), who("a", "predictor", models=("fraud",))]
    others += [who("a", "predictor", models=("a", "b")), who("a", "predictor", models=("a', 'b",))]
    assert len(set(others)) == 5


def test_strings_that_are_one_object_ask_what_equal_strings_ask() -> None:
    shared = sys.intern("category")
    apart = [b"category".decode() for _ in range(2)]
    assert apart[0] is not shared
    assert asked(table(x=things(shared, shared))) == asked(table(x=things(*apart)))


def test_a_block_of_columns_is_told_by_its_names_type_shape_and_values() -> None:
    def block(matrix: Array, *names: str) -> Question:
        return asked(Inputs("table", Block(matrix, {name: place for place, name in enumerate(names)}), len(matrix)))

    matrix = np.arange(6.0).reshape(2, 3)
    same = block(matrix, "a", "b", "c")
    assert block(np.asfortranarray(matrix), "a", "b", "c") == same
    others = [block(matrix, "a", "c", "b"), block(matrix + 1, "a", "b", "c"), block(matrix.reshape(3, 2), "a", "b")]
    others += [block(matrix.view(np.int64), "a", "b", "c"), block(matrix.reshape(6, 1), "abc")]
    assert len({same, *others}) == 6


class Odd:
    """Of no type that JSON has."""


@pytest.mark.parametrize(
    "value",
    [Odd(), np.float64(1), np.array([1]), [np.int8(1)], {"a": Odd()}, {1: "a"}, (1, {2}), 1j, type("S", (str,), {})("x")],
)
def test_values_of_other_types_ask_nothing_that_could_be_asked_again(value: Any) -> None:
    assert question(SOURCE, "r", table(x=things(value))) is None
    assert question(SOURCE, "r", tensors(x=[1])._replace(params={"k": value})) is None
    assert question(SOURCE, "r", tensors(x=np.zeros(1, "V4"))) is None
    assert question(SOURCE, "r", Inputs("table", Block(np.full((1, 1), None), {"x": 0}), 1)) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
arrays = hnp.arrays(
    st.sampled_from(["f4", "f8", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
)
several = st.dictionaries(st.text(max_size=3), arrays, min_size=1, max_size=3)


@given(several, several)
def test_two_sets_of_tensors_ask_the_same_only_if_they_are_the_same(one: dict[str, Array], other: dict[str, Array]) -> None:
    def told(found: dict[str, Array]) -> list[Any]:
        return [(name, array.dtype, array.shape, array.tobytes()) for name, array in found.items()]

    same = asked(Inputs("tensors", one, 1)) == asked(Inputs("tensors", other, 1))
    assert same == (told(one) == told(other))


@given(st.lists(json_values, min_size=1, max_size=3), st.lists(json_values, min_size=1, max_size=3))
def test_two_columns_of_values_ask_the_same_only_if_they_are_the_same(one: list[Any], other: list[Any]) -> None:
    same = asked(table(x=things(*one))) == asked(table(x=things(*other)))
    assert same == (repr(one) == repr(other))


@given(arrays.filter(lambda array: array.ndim > 0))
def test_how_an_array_lies_in_memory_does_not_matter(array: Array) -> None:
    padded = np.empty((*array.shape, 2), array.dtype)
    padded[..., 0] = array
    assert asked(tensors(x=padded[..., 0])) == asked(tensors(x=np.asfortranarray(array))) == asked(tensors(x=array))
