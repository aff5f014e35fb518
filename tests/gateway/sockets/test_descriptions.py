"""What Flask tells about models and the machine, over real sockets and both ways in."""

import time
from typing import Any

import pytest

from serving.gateway import schemas

from .conftest import Gateway

pytestmark = pytest.mark.slow

DOCUMENTED = (
    ("/models", schemas.Models),
    ("/models/cancer", schemas.ModelDetail),
    ("/models/cancer@challenger", schemas.ModelDetail),
    ("/models/cancer/2", schemas.ModelDetail),
    ("/models/moody", schemas.ModelDetail),
    ("/models/digits/Production", schemas.ModelDetail),
    ("/model/info", schemas.ModelInfo),
    ("/model/info?model=digits", schemas.ModelInfo),
    ("/v2/models/cancer", schemas.ModelMetadata),
    ("/v2/models/cancer/versions/2", schemas.ModelMetadata),
    ("/v2/models/cancer/ready", schemas.ModelReady),
    ("/status", schemas.Status),
    ("/health", schemas.Health),
)


@pytest.mark.parametrize(("path", "schema"), DOCUMENTED, ids=[path for path, _ in DOCUMENTED])
def test_descriptions_are_as_documented(gateway: Gateway, path: str, schema: Any) -> None:
    answer = gateway.get(path, token=gateway.token("admin"))
    assert answer.status == 200, answer.body
    assert schema().validate(answer.json()) == {}


def test_the_metadata_lists_the_tensors_of_the_signature(gateway: Gateway) -> None:
    body = gateway.get("/v2/models/cancer", token=gateway.token("predictor")).json()
    assert [(tensor["name"], tensor["datatype"]) for tensor in body["inputs"]] == [
        ("mean radius", "FP64"),
        ("mean texture", "FP64"),
        ("mean area", "FP64"),
    ]
    assert body["outputs"]


def test_both_workers_report_to_the_status(gateway: Gateway) -> None:
    body = gateway.get("/status", token=gateway.token("viewer")).json()
    assert len({worker["pid"] for worker in body["workers"]}) >= 2
    assert {model["name"] for model in body["models"]} >= {"cancer", "digits", "moody"}


@pytest.mark.parametrize(
    "path", ["/models/cancer%2F1", "/models/cancer%2f1", "/models/%252e%252e", "/v2/models/a%5Cb", "/models/%ff"]
)
def test_an_encoded_separator_is_refused_rather_than_read(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path, token=gateway.token("admin"))
    assert (answer.status, answer.code) == (400, "name_malformed")


def test_two_authorization_headers_are_refused(gateway: Gateway) -> None:
    token = gateway.token("admin")
    answer = gateway.post(
        "/models", b"", method="GET", token=token, content_type=None, headers=(("Authorization", f"Bearer {token}"),)
    )
    assert (answer.status, answer.code) == (400, "header_malformed")


def test_a_promoter_nudges_the_resolver(gateway: Gateway) -> None:
    before = time.time_ns()
    answer = gateway.post("/nudge", b"{}", token=gateway.token("promoter"))
    assert answer.status == 202
    assert gateway.house.nudge.stat().st_mtime_ns >= before


def test_a_large_nudge_is_refused_with_or_without_a_length(gateway: Gateway) -> None:
    token = gateway.token("promoter")
    assert gateway.post("/nudge", b"x" * 65_537, token=token).code == "body_too_large"
    chunk = b"%x\r\n" % 65_537 + b"x" * 65_537 + b"\r\n0\r\n\r\n"
    assert gateway.post("/nudge", chunk, token=token, headers=(("Transfer-Encoding", "chunked"),)).code == "body_too_large"


@pytest.mark.parametrize("path", ["/livez?x=\xff", "/livez?\xe9=1", "/models?x=%ff%fe", "/v2?x=%00"])
def test_an_odd_query_is_no_reason_to_fail(gateway: Gateway, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode("latin-1")
    assert gateway.send(request).status < 500
