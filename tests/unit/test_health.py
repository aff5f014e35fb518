"""Health is judged from signs alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.health import HTTP_STATUS, Signs, is_ready, judge_health

WELL = Signs(serial=7, workers=2, staleness=0.4)

TABLE = (
    ("all is well", WELL, "healthy", 0),
    ("no snapshot", replace(WELL, serial=0), "unhealthy", 1),
    ("no worker", replace(WELL, workers=0), "unhealthy", 1),
    ("neither", replace(WELL, serial=0, workers=0), "unhealthy", 2),
    ("an empty registry that was read", replace(WELL, serial=0, registry_empty=True), "healthy", 0),
    ("just not stale", replace(WELL, staleness=30.0), "healthy", 0),
    ("stale", replace(WELL, staleness=30.1), "degraded", 1),
    ("never read since the start", replace(WELL, staleness=None), "degraded", 1),
    ("a refused version", replace(WELL, refused=1), "degraded", 1),
    ("wishes not fulfilled", replace(WELL, problems=3), "degraded", 1),
    ("everything at once", replace(WELL, staleness=99.0, refused=2, problems=3), "degraded", 3),
)


@pytest.mark.parametrize(("signs", "status", "reasons"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_health_follows_from_the_signs(signs: Signs, status: str, reasons: int) -> None:
    judged = judge_health(signs, 30.0)
    assert (judged.status, len(judged.reasons)) == (status, reasons)


@pytest.mark.parametrize(
    ("signs", "sentence"),
    [
        (replace(WELL, refused=1), "1 version was refused; `stagedoor status` says why."),
        (replace(WELL, refused=2), "2 versions were refused; `stagedoor status` says why."),
        (replace(WELL, problems=1), "1 wish of the registry is not fulfilled; `stagedoor status` says which."),
        (replace(WELL, problems=2), "2 wishes of the registry are not fulfilled; `stagedoor status` says which."),
        (replace(WELL, staleness=99.4), "The registry was last read 99 seconds ago; the last snapshot is served."),
    ],
)
def test_each_reason_is_a_sentence(signs: Signs, sentence: str) -> None:
    assert judge_health(signs, 30.0).reasons == (sentence,)


@given(
    st.builds(
        Signs,
        serial=st.integers(0, 3),
        workers=st.integers(0, 3),
        staleness=st.none() | st.floats(0, 1e9),
        refused=st.integers(0, 3),
        problems=st.integers(0, 3),
        registry_empty=st.booleans(),
    )
)
def test_only_health_has_no_reasons_and_a_gateway_that_is_not_ready_is_never_in_service(signs: Signs) -> None:
    judged = judge_health(signs, 30.0)
    assert (judged.status == "healthy") == (not judged.reasons)
    assert is_ready(signs) or HTTP_STATUS[judged.status] == 503
