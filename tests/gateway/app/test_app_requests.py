"""What every request meets, whatever its path: ids, traces, paths, methods and problems."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from serving.gateway.app import create_app
from serving.gateway.predictions import read_body
from stagedoor.errors import MalformedBody


def test_every_answer_carries_a_request_id_and_security_headers(gateway: Any) -> None:
    for path in ("/livez", "/docs", "/nowhere", "/models", "/openapi.json", "/metrics"):
        headers = gateway.client.get(path).headers
        assert len(headers["X-Request-Id"]) == 32
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in headers["Cache-Control"]


def test_the_callers_request_id_comes_back(gateway: Any) -> None:
    assert gateway.client.get("/livez", headers={"X-Request-Id": "abc-123"}).headers["X-Request-Id"] == "abc-123"


@pytest.mark.parametrize("bad", ["", " ", "two words", "x" * 129, "tab\there", "\xe9", "one,two"])
def test_a_malformed_request_id_is_refused_and_not_echoed(gateway: Any, bad: str) -> None:
    answer = gateway.client.get("/livez", headers={"X-Request-Id": bad})
    assert (answer.status_code, answer.json["code"]) == (400, "header_malformed")
    assert len(answer.headers["X-Request-Id"]) == 32
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]


def test_the_log_lines_of_a_request_carry_its_id_and_its_trace(gateway: Any) -> None:
    headers = gateway.token("promoter") | {"X-Request-Id": "abc-123", "traceparent": f"00-{'a1' * 16}-{'b2' * 8}-01"}
    with capture_logs(processors=[merge_contextvars]) as lines:
        gateway.client.post("/nudge", headers=headers)
        gateway.client.post("/nudge", headers=gateway.token("promoter") | {"traceparent": "nonsense"})
    assert [line["event"] for line in lines] == ["nudged", "nudged"]
    assert (lines[0]["request_id"], lines[0]["trace_id"]) == ("abc-123", "a1" * 16)
    assert len(lines[1]["request_id"]) == 32
    assert "trace_id" not in lines[1]


def test_an_unknown_path_is_a_problem(gateway: Any) -> None:
    answer = gateway.client.get("/nowhere")
    assert (answer.status_code, answer.json["code"]) == (404, "route_not_found")
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", {"POST"}),
        ("GET", "/models/fraud/invocations", {"POST"}),
        ("GET", "/models/fraud/7/invocations", {"POST"}),
        ("GET", "/v2/models/fraud/infer", {"POST"}),
        ("GET", "/nudge", {"OPTIONS", "POST"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/models/fraud", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/livez", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(gateway: Any, method: str, path: str, allowed: set[str]) -> None:
    answer = gateway.client.open(path, method=method)
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_and_options_behave(gateway: Any) -> None:
    head = gateway.client.head("/livez")
    assert (head.status_code, head.data) == (200, b"")
    options = gateway.client.options("/livez")
    assert (options.status_code, "GET" in options.headers["Allow"]) == (200, True)


def test_a_method_override_is_ignored(gateway: Any) -> None:
    answer = gateway.client.get("/nudge", headers={"X-HTTP-Method-Override": "POST"} | gateway.token("admin"))
    assert answer.status_code == 405


def test_on_v2_a_problem_has_the_protocols_error_string_as_well(gateway: Any) -> None:
    body = gateway.client.get("/v2/models/fraud").json
    assert body["error"] == body["detail"]


def test_an_unforeseen_failure_is_an_internal_error_and_tells_nothing(
    gateway: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        @property
        def view(self) -> Any:
            raise RuntimeError("hunter2")

    app = create_app(
        type(gateway.services)(
            gateway.services.settings, gateway.services.authenticator, Broken(), gateway.plane, gateway.paths
        )
    )
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert b"hunter2" not in answer.data
    assert "hunter2" not in "".join(capfd.readouterr())


# --- the way to the plane ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/models/fraud/invocations", "/models/fraud/invocations"),
        ("/models/fraud@champion/invocations", "/models/fraud@champion/invocations"),
        ("/models/fraud%40champion/invocations", "/models/fraud@champion/invocations"),
        ("/models/fraud/7/invocations", "/models/fraud/7/invocations"),
        ("/models/caf%C3%A9/invocations", "/models/caf%C3%A9/invocations"),
        ("/models/fraud/%69nvocations", "/models/fraud/invocations"),
        ("/v2/models/fraud/infer", "/v2/models/fraud/infer"),
        ("/v2/models/fraud/versions/7/infer", "/v2/models/fraud/versions/7/infer"),
        ("/predict", "/predict"),
    ],
)
def test_a_prediction_reaches_the_plane_with_one_spelling_of_its_path(gateway: Any, path: str, sent: str) -> None:
    answer = gateway.client.post(path, data=b"{}", content_type="application/json", headers={"X-Request-Id": "mine"})
    assert answer.status_code == 200
    (request,) = gateway.plane.requests
    assert (request.method, request.path, request.body) == ("POST", sent, b"{}")
    assert request.header("content-type") == "application/json"
    assert request.header("x-request-id") == "mine"


def test_the_planes_answer_is_handed_on_as_it_is(gateway: Any) -> None:
    answer = gateway.client.post("/predict?model=fraud&x=1", data=b"{}")
    assert (answer.status_code, answer.data) == (200, b'{"predictions":[1]}')
    assert answer.headers.getlist("X-Request-Id") == ["from-the-plane"]
    assert gateway.plane.requests[0].query == "model=fraud&x=1"


def test_two_authorization_headers_reach_the_plane_as_two(gateway: Any) -> None:
    gateway.client.post("/predict", data=b"{}", headers={"Authorization": "Bearer a,Bearer b"})
    sent = [value for name, value in gateway.plane.requests[0].headers if name == "authorization"]
    assert sent == ["Bearer a", "Bearer b"]


@pytest.mark.parametrize(
    "target",
    [
        "/models/fraud%2F7/invocations",
        "/models/fraud%2f7/invocations",
        "/models/..%2f..%2fetc/invocations",
        "/models/%252e%252e/invocations",
        "/models/fraud%5C7/invocations",
        "/models/fraud%00/invocations",
        "/models/%ff%fe/invocations",
        "/models/fraud%0d%0aX-Evil:1/invocations",
        "/models%2Ffraud",
    ],
)
@pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])
def test_what_percent_encoding_hides_is_refused(gateway: Any, target: str, key: str) -> None:
    answer = gateway.client.post(target, data=b"{}", environ_overrides={key: target})
    assert (answer.status_code, answer.json["code"]) == (400, "name_malformed")
    assert gateway.plane.requests == []


def test_an_absolute_request_target_is_read_by_its_path(gateway: Any) -> None:
    overrides = {"RAW_URI": "http://gateway/models/fraud%2F7/invocations"}
    assert gateway.client.post("/models/fraud/7/invocations", environ_overrides=overrides).status_code == 400


def test_a_body_declared_too_long_is_not_read_at_all(gateway: Any) -> None:
    class Untouchable(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("it was read")

    environ = {"wsgi.input": Untouchable(), "CONTENT_LENGTH": "1001", "wsgi.input_terminated": True}
    assert read_body(environ, 1000) == b""


def test_reading_stops_one_byte_past_the_limit() -> None:
    stream = io.BytesIO(b"x" * 5000)
    environ = {"wsgi.input": stream, "HTTP_TRANSFER_ENCODING": "chunked"}
    assert len(read_body(environ, 1000)) == 1001
    assert stream.tell() == 1001


def test_a_chunked_body_is_read_to_its_end_without_a_length() -> None:
    for environ in ({"wsgi.input_terminated": True}, {"HTTP_TRANSFER_ENCODING": "chunked"}):
        assert read_body({"wsgi.input": io.BytesIO(b"abc")} | environ, 1000) == b"abc"


def test_a_body_without_length_or_end_is_never_waited_for() -> None:
    assert read_body({"wsgi.input": io.BytesIO(b"abc")}, 1000) == b""


@pytest.mark.parametrize("failure", ["chunk", "header", "reset"])
def test_a_body_that_breaks_off_is_malformed(failure: str) -> None:
    from gunicorn.http.errors import InvalidChunkSize, InvalidHeader

    errors = {"chunk": InvalidChunkSize(b"zz"), "header": InvalidHeader("x"), "reset": ConnectionResetError()}

    class Broken:
        def read(self, *_: object) -> bytes:
            raise errors[failure]

    with pytest.raises(MalformedBody):
        read_body({"wsgi.input": Broken(), "wsgi.input_terminated": True}, 1000)


def test_a_body_shorter_than_its_length_is_malformed() -> None:
    with pytest.raises(MalformedBody):
        read_body({"wsgi.input": io.BytesIO(b"abc"), "CONTENT_LENGTH": "10"}, 1000)


def test_no_body_is_larger_than_the_setting_allows(make: Callable[..., Any]) -> None:
    gateway = make()
    gateway.client.post("/predict", data=b"x" * 1000)
    gateway.client.post("/predict", data=b"x" * 1001)
    assert [len(request.body) for request in gateway.plane.requests] == [1000, 0]
    assert gateway.plane.requests[1].header("content-length") == "1001"
