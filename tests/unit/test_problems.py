"""Problems: every error has its row, and nothing that is not ours shows."""

import inspect
import re

import orjson
import pytest

from serving.http import Reply
from serving.problems import reply_for
from stagedoor import errors, problems
from stagedoor.problems import BY_CODE, INTERNAL, PROBLEMS, code_of, tell


def ours(kind: type[Exception]) -> bool:
    return kind.__module__.startswith((f"{errors.__name__}.", f"{problems.__name__}."))


def descendants(kind: type[Exception]) -> set[type[Exception]]:
    children = set(filter(ours, kind.__subclasses__()))
    return children.union(*map(descendants, children))


def leaves(kind: type[Exception]) -> set[type[Exception]]:
    return {c for c in descendants(kind) if not descendants(c)}


# One of each leaf, as the code raises it.
EXAMPLES: tuple[tuple[Exception, str, int], ...] = (
    (errors.MalformedBody("is empty"), "body_malformed", 400),
    (errors.BodyTooLarge(10), "body_too_large", 413),
    (errors.UnsupportedMediaType(["text/csv"]), "unsupported_media_type", 415),
    (errors.UnsupportedEncoding(["gzip", "zstd"]), "unsupported_encoding", 415),
    (errors.InvalidRequest("Send one of inputs and instances."), "request_invalid", 422),
    (errors.SchemaMismatch("amount", "a double", "a string"), "schema_mismatch", 422),
    (errors.MalformedName("alias", "letters"), "name_malformed", 400),
    (errors.MalformedHeader("X-Request-Id", "send it once"), "header_malformed", 400),
    (errors.TargetTooLong(4094), "target_too_long", 414),
    (errors.HeadTooLarge(100, "headers"), "head_too_large", 431),
    (errors.RequestTooSlow(), "request_timeout", 408),
    (errors.TokenInvalid("signature of kid 4711 is wrong"), "token_invalid", 401),
    (errors.TokenExpired(), "token_expired", 401),
    (errors.PermissionDenied("predict", ["predictor"]), "permission_denied", 403),
    (errors.OwnApproval(), "own_approval", 403),
    (errors.TooManyAttempts(17), "too_many_attempts", 429),
    (errors.NotAcceptable("There is no XML here."), "not_acceptable", 406),
    (errors.ModelNotFound("fraud"), "model_not_found", 404),
    (errors.Conflict("A rollout is under way."), "conflict", 409),
    (problems.RouteNotFound(), "route_not_found", 404),
    (problems.MethodNotAllowed(("GET", "HEAD")), "method_not_allowed", 405),
    (problems.MalformedRequest(), "request_malformed", 400),
    (errors.NotReady(), "not_ready", 503),
    (errors.VersionNotReady("fraud/7"), "version_not_ready", 503),
    (errors.VersionRefused("fraud/7", "It does not load."), "version_refused", 503),
    (errors.Overloaded(), "overloaded", 503),
    (errors.ModelFailed(), "model_error", 500),
    (errors.InvalidOutput("it is not finite"), "invalid_output", 500),
    (errors.PredictionTimeout(30.0), "prediction_timeout", 504),
    (errors.MissingArtifact("A file is missing."), "missing_artifact", 503),
    (errors.TamperedArtifact("A file was altered."), "tampered_artifact", 503),
    (errors.UnsafeArtifact("A link leads out."), "unsafe_artifact", 503),
    (errors.UnsupportedFlavor("No loader for it."), "unsupported_flavor", 503),
    (errors.LoadFailed("It does not load."), "load_failed", 503),
    (errors.LoadTimeout("It takes too long."), "load_timeout", 503),
    (errors.OverBudget("It is too large."), "over_budget", 503),
    (errors.RegistryUnavailable("No answer."), "registry_unavailable", 503),
    (errors.RegistryGarbled("HTML came."), "registry_garbled", 502),
    (errors.RegistryDenied("401 came."), "registry_denied", 502),
    (errors.RegistryNotFound("No such model."), "registry_not_found", 404),
    (errors.RegistryConflict("It was moved."), "registry_conflict", 409),
    (errors.LedgerUnavailable("No answer."), "ledger_unavailable", 503),
    (errors.LedgerTampered("Row 3."), "ledger_tampered", 500),
    (errors.LeaseLost("Another."), "lease_lost", 503),
    (errors.EvidenceUnavailable("No answer."), "evidence_unavailable", 503),
    (errors.InvalidTag("stagedoor.traffic", "does not add up"), "invalid_tag", 422),
    (errors.PortTaken("the gateway", 8000, "--gateway-port"), "port_taken", 500),
)


def test_every_leaf_of_the_error_tree_has_a_row_of_its_own() -> None:
    missing = {leaf.__name__ for leaf in leaves(errors.StagedoorError) if leaf not in PROBLEMS}
    assert not missing


def test_the_examples_cover_every_leaf() -> None:
    assert {type(example) for example, _, _ in EXAMPLES} == leaves(errors.StagedoorError)


def test_the_tree_is_drawn_as_it_is_and_all_of_it_can_be_imported_from_one_place() -> None:
    rows = re.findall(r"── (\w+)", errors.__doc__ or "")
    tree = {c.__name__ for c in descendants(errors.StagedoorError) if c.__module__.startswith(errors.__name__)}
    assert sorted(rows) == sorted(tree)
    assert {*rows, "StagedoorError"} == set(errors.__all__)


def test_codes_are_unique_and_their_statuses_are_errors() -> None:
    codes = [row.code for row in PROBLEMS.values()] + [INTERNAL.code]
    assert len(codes) == len(set(codes)) == len(BY_CODE)
    assert all(400 <= row.status < 600 and row.title and row.advice for row in BY_CODE.values())


@pytest.mark.parametrize(("error", "code", "status"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_an_error_is_told_with_its_code_and_status(error: Exception, code: str, status: int) -> None:
    reply = reply_for(error, "id-1")
    body = orjson.loads(reply.body)
    assert (reply.status, body["status"], body["code"], code_of(error)) == (status, status, code, code)
    assert body["type"] == f"/problems/{code}"
    assert body["detail"] == str(error)
    assert body["request_id"] == "id-1"
    headers = dict(reply.headers)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Request-Id"] == "id-1"
    assert "error" not in body


def test_the_open_inference_protocol_gets_its_error_string() -> None:
    body = orjson.loads(reply_for(errors.ModelNotFound("fraud"), "id-1", open_inference=True).body)
    assert body["error"] == body["detail"]


def test_a_stranger_exception_is_an_internal_error_and_shows_nothing_of_itself() -> None:
    error = ValueError("password=hunter2 at /srv/secret/place")
    error.limit = "hunter2"  # type: ignore[attr-defined]
    reply = reply_for(error, "id-1")
    assert (reply.status, orjson.loads(reply.body)["code"]) == (500, "internal_error")
    assert b"hunter2" not in reply.body
    assert b"/srv" not in reply.body


def test_the_reason_why_a_token_failed_stays_in_the_log() -> None:
    assert b"4711" not in reply_for(errors.TokenInvalid("signature of kid 4711 is wrong"), "id-1").body


@pytest.mark.parametrize("error", [errors.TokenInvalid("x"), errors.TokenExpired()])
def test_a_401_challenges_for_a_bearer_token(error: Exception) -> None:
    assert dict(reply_for(error, "id-1").headers)["WWW-Authenticate"].startswith("Bearer ")


def test_what_passes_by_itself_says_when_to_come_back() -> None:
    reply = reply_for(errors.TooManyAttempts(17), "id-1")
    assert dict(reply.headers)["Retry-After"] == "17"
    assert orjson.loads(reply.body)["retry_after"] == 17


def test_a_schema_mismatch_names_the_field_and_what_was_expected() -> None:
    body = orjson.loads(reply_for(errors.SchemaMismatch("amount", "a double", "a string"), "id-1").body)
    assert (body["field"], body["expected"]) == ("amount", "a double")


def test_a_405_lists_the_methods_in_the_allow_header() -> None:
    assert dict(reply_for(problems.MethodNotAllowed(("GET", "HEAD")), "id-1").headers)["Allow"] == "GET, HEAD"


def test_a_class_added_below_a_leaf_is_told_as_that_leaf() -> None:
    class Peculiar(errors.LoadFailed):
        pass

    assert code_of(Peculiar("It is peculiar.")) == "load_failed"
    assert inspect.getmodule(Peculiar) is not errors


def test_who_is_turned_away_is_told_the_same_as_by_the_table() -> None:
    for open_inference in (False, True):
        told = Reply(*tell(errors.Overloaded(), "a" * 32, open_inference=open_inference))
        assert reply_for(errors.Overloaded(), "a" * 32, open_inference=open_inference) == told
