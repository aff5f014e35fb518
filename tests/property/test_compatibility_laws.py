"""Taking another version's place is reflexive and transitive: a chain of promotions cannot drift where one step may not go."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_hooks.gates.compatibility import accepts_all, accepts_params, answers_alike
from registry_hooks.gates.signatures import Form, read_form, read_params

SCALARS = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime", "any"]
DTYPES = ["bool", "int8", "int32", "int64", "uint8", "uint32", "uint64", "float16", "float32", "float64", "<U4", "S3", "object"]

scalar = st.sampled_from(SCALARS).map(lambda kind: {"type": kind})
kinds = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda values: {"type": "map", "values": values}, inner),
        st.builds(
            lambda parts: {"type": "object", "properties": parts},
            st.dictionaries(
                st.sampled_from("ab"), st.builds(lambda p, r: {**p, "required": r}, inner, st.booleans()), max_size=2
            ),
        ),
    ),
    max_leaves=3,
)
columns = st.lists(
    st.builds(
        lambda kind, required, name: {**kind, "required": required, "name": name}, kinds, st.booleans(), st.sampled_from("abc")
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda column: column["name"],
)
unnamed = st.lists(kinds, min_size=1, max_size=2)
shapes = st.lists(st.sampled_from([-1, 1, 3]), min_size=1, max_size=2)
tensor = st.builds(
    lambda dtype, shape, name: {
        "type": "tensor",
        "tensor-spec": {"dtype": dtype, "shape": shape},
        **({"name": name} if name else {}),
    },
    st.sampled_from(DTYPES),
    shapes,
    st.sampled_from(["", "a", "b"]),
)
tensors = st.lists(tensor, min_size=1, max_size=2, unique_by=lambda spec: spec.get("name", ""))
forms = st.one_of(st.none(), columns, unnamed, tensors).map(read_form)
params = st.lists(
    st.builds(
        lambda name, kind, listed: {"name": name, **kind, "default": None, **({"shape": [-1]} if listed else {})},
        st.sampled_from("ab"),
        scalar,
        st.booleans(),
    ),
    max_size=2,
    unique_by=lambda param: param["name"],
).map(read_params)


@given(forms)
def test_every_version_can_take_its_own_place(form: Form) -> None:
    assert accepts_all(form, form) == []
    assert answers_alike(form, form) == []


Relation = Callable[[Any, Any], list[str]]


def assert_transitive(relation: Relation, values: list[Any]) -> None:
    related = {(i, j) for i, first in enumerate(values) for j, second in enumerate(values) if not relation(first, second)}
    for i, j in related:
        for k in range(len(values)):
            assert (j, k) not in related or (i, k) in related, (values[i], values[j], values[k])


@pytest.mark.parametrize("relation", [accepts_all, answers_alike])
def test_both_relations_are_transitive_over_every_single_type(relation: Relation) -> None:
    as_columns = [[{"type": kind, "name": "a", "required": required}] for kind in SCALARS for required in (True, False)]
    as_tensors = [
        [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}, "name": name}]
        for dtype in DTYPES
        for shape in ([-1], [3])
        for name in ("", "a")
    ]
    assert_transitive(relation, list(map(read_form, [None, *as_columns, *as_tensors])))


@pytest.mark.parametrize("relation", [accepts_all, answers_alike])
@settings(deadline=None, max_examples=30)
@given(values=st.one_of(*(st.lists(kind.map(read_form), min_size=3, max_size=8) for kind in (columns, unnamed, tensors))))
def test_both_relations_are_transitive(relation: Relation, values: list[Form]) -> None:
    assert_transitive(relation, [None, *values])


@settings(deadline=None, max_examples=30)
@given(st.lists(params, min_size=3, max_size=8))
def test_accepting_params_is_reflexive_and_transitive(values: list[Any]) -> None:
    assert all(accepts_params(value, value) == [] for value in values)
    assert_transitive(accepts_params, values)


@given(columns, st.sampled_from("xyz"))
def test_an_optional_column_more_is_always_fine_and_a_required_one_never(live: list[dict[str, Any]], name: str) -> None:
    for required in (False, True):
        more = read_form([*live, {"type": "double", "name": name, "required": required}])
        assert bool(accepts_all(read_form(live), more)) is required
