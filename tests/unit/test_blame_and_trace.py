"""Whose doing a failure is, and the ids that follow a request."""

import pytest

from serving.blame import cause_of, outcome_of
from serving.trace import new_request_id, request_id_from, trace_id_from
from stagedoor import errors

BLAME = [
    (errors.SchemaMismatch("age", "long", "string"), "client_error"),
    (errors.TokenExpired(), "client_error"),
    (errors.ModelFailed(), "model_error"),
    (errors.InvalidOutput("it is not finite"), "invalid_output"),
    (errors.PredictionTimeout(1), "timeout"),
    (errors.Overloaded(), "overload"),
    (errors.VersionNotReady("fraud/7"), "overload"),
    (KeyError("x"), "internal_error"),
]


@pytest.mark.parametrize(("error", "outcome"), BLAME)
def test_each_failure_has_one_blame_class(error: Exception, outcome: str) -> None:
    assert outcome_of(error) == outcome


def test_a_cause_names_type_and_place_and_never_the_message() -> None:
    try:
        try:
            raise ValueError("4111 1111 1111 1111")  # noqa: TRY301  the chain is what is tested
        except ValueError as inner:
            raise errors.ModelFailed from inner
    except errors.ModelFailed as error:
        cause = cause_of(error)
    assert cause is not None
    assert cause.startswith("ValueError at test_blame_and_trace.py:")
    assert "4111" not in cause


def test_a_callers_own_fault_has_no_cause_in_the_log() -> None:
    assert cause_of(errors.MalformedBody("is empty")) is None


def test_a_request_without_an_id_gets_a_new_one_each_time() -> None:
    assert new_request_id() != new_request_id()
    assert request_id_from({}) == ""


def test_a_callers_request_id_is_kept() -> None:
    assert request_id_from({"x-request-id": "abc-123"}) == "abc-123"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "a\r\nSet-Cookie: x", "é"])
def test_a_request_id_that_could_harm_a_log_is_refused(bad: str) -> None:
    with pytest.raises(errors.MalformedHeader):
        request_id_from({"x-request-id": bad})


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
        ("garbage", None),
        (None, None),
    ],
)
def test_a_trace_id_is_taken_from_a_sound_traceparent_only(header: str | None, trace: str | None) -> None:
    assert trace_id_from(header) == trace
