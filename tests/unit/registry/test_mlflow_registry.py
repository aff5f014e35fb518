"""The MLflow adapter against servers that die, hang and lie. Real sockets, no MLflow."""

import json
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from stagedoor.errors import (
    RegistryConflict,
    RegistryDenied,
    RegistryError,
    RegistryGarbled,
    RegistryNotFound,
    RegistryUnavailable,
)
from stagedoor.registry import mlflow_http
from stagedoor.registry.mlflow_registry import MLflowRegistry
from stagedoor.registry.port import ANY

from .conftest import Answer, Liar, registry_at, say


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


MODEL = {"name": "fraud", "aliases": [{"alias": "champion", "version": "1"}], "creation_timestamp": 1}


def page(*models: Any, **more: Any) -> bytes:
    return json.dumps({"registered_models": models, **more}).encode()


Change = Callable[[MLflowRegistry], object]
CHANGES: dict[str, Change] = {
    "move an alias": lambda registry: registry.move_alias("fraud", "champion", "2", expected=ANY),
    "remove an alias": lambda registry: registry.move_alias("fraud", "champion", None, expected=ANY),
    "move an alias on condition": lambda registry: registry.move_alias("fraud", "champion", "2", expected="1"),
    "tag a model": lambda registry: registry.tag_model("fraud", "note", "x"),
    "remove a version's tag": lambda registry: registry.tag_version("fraud", "1", "note", None),
    "move a stage": lambda registry: registry.move_stage("fraud", "1", "Production", who="alice"),
    "read metrics": lambda registry: registry.run_metrics("abc"),
}
NOT_FOUND = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}).encode()
BAD_ANSWERS: dict[str, tuple[Answer, type[RegistryError]]] = {
    "html": (say(b"<html>welcome</html>"), RegistryGarbled),
    "empty body": (say(b""), RegistryGarbled),
    "truncated JSON": (say(page(MODEL)[:-9]), RegistryGarbled),
    "cut off by the connection": (say(page(MODEL)[:20], length=500), RegistryUnavailable),
    "a list": (say(b"[]"), RegistryGarbled),
    "null": (say(b"null"), RegistryGarbled),
    "not UTF-8": (say(b'{"registered_models":[{"name":"\xff"}]}'), RegistryGarbled),
    "nested without end": (say(b"[" * 100_000), RegistryGarbled),
    "another service's JSON": (say(b'{"status":"ok"}'), RegistryGarbled),
    "models as an object": (say(b'{"registered_models":{}}'), RegistryGarbled),
    "a model without a name": (say(page({"aliases": []})), RegistryGarbled),
    "a number for a name": (say(page({"name": 5})), RegistryGarbled),
    "a version that is none": (say(page({"name": "a", "aliases": [{"alias": "b", "version": "01"}]})), RegistryGarbled),
    "a version with a line end": (say(page({"name": "a", "aliases": [{"alias": "b", "version": "1\n"}]})), RegistryGarbled),
    "a number for a version": (say(page({"name": "a", "aliases": [{"alias": "b", "version": 1}]})), RegistryGarbled),
    "an empty page with a next one": (say(page(next_page_token="again")), RegistryGarbled),
    "a redirect": (say(b"", 302, Location="http://127.0.0.1:9/"), RegistryGarbled),
    "a teapot": (say(b"{}", 418), RegistryGarbled),
    "created": (say(page(MODEL), 201), RegistryGarbled),
    "404 of another server": (say(b"<html>no such page</html>", 404), RegistryGarbled),
    "404 with other JSON": (say(b'{"error_code":"ENDPOINT_NOT_FOUND"}', 404), RegistryGarbled),
    "500": (say(b"oops", 500), RegistryUnavailable),
    "503": (say(b"", 503), RegistryUnavailable),
    "429": (say(b"", 429), RegistryUnavailable),
    "401": (say(b"{}", 401), RegistryDenied),
    "403": (say(b"{}", 403), RegistryDenied),
    "not HTTP": (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n") and None, RegistryUnavailable),
    "silence": (hang, RegistryUnavailable),
    "a byte at a time": (drip, RegistryUnavailable),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_becomes_one_error_in_bounded_time(liar: Liar, case: str) -> None:
    liar.answer, expected = BAD_ANSWERS[case]
    began = time.monotonic()
    with pytest.raises(expected):
        registry_at(liar.url).models()
    assert time.monotonic() - began < 1.9


REFUSALS: dict[str, tuple[Answer, type[RegistryError]]] = {
    "somebody was quicker": (say(b"{}", 412), RegistryConflict),
    "no right": (say(b"{}", 403), RegistryDenied),
    "nothing there": (say(NOT_FOUND, 404), RegistryNotFound),
    "a bad request": (say(b'{"error_code":"INVALID_PARAMETER_VALUE"}', 400), RegistryGarbled),
    "failing": (say(b"", 500), RegistryUnavailable),
    "silence": (hang, RegistryUnavailable),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("case", REFUSALS)
def test_a_change_that_is_not_made_is_one_error_in_bounded_time(liar: Liar, change: str, case: str) -> None:
    refuse, expected = REFUSALS[case]
    standing = say(json.dumps({"registered_model": MODEL}).encode())
    liar.answer = lambda handler: (standing if "registered-models/get" in handler.path else refuse)(handler)
    began = time.monotonic()
    with pytest.raises(expected):
        CHANGES[change](registry_at(liar.url))
    assert time.monotonic() - began < 1.9


def test_a_move_to_where_the_alias_is_already_asks_for_nothing(liar: Liar) -> None:
    liar.answer = say(json.dumps({"registered_model": MODEL}).encode())
    registry_at(liar.url).move_alias("fraud", "champion", "1", expected="7")
    assert [path for path, _ in liar.asked] == ["/api/2.0/mlflow/registered-models/get?name=fraud"]


@pytest.mark.parametrize(
    "body", [b"{}", b'{"run":{"data":{"metrics":{}}}}', b'{"run":{"data":{"metrics":[{"value":1}]}}}', b"[]"]
)
def test_metrics_that_make_no_sense_are_garbled(liar: Liar, body: bytes) -> None:
    liar.answer = say(body)
    with pytest.raises(RegistryGarbled):
        registry_at(liar.url).run_metrics("abc")


def test_an_empty_object_is_an_empty_registry(liar: Liar) -> None:
    assert registry_at(liar.url).models().models == ()


def test_an_empty_object_is_no_model(liar: Liar) -> None:
    with pytest.raises(RegistryGarbled):
        registry_at(liar.url).model("fraud")


def test_only_mlflows_own_word_is_not_found(liar: Liar) -> None:
    liar.answer = say(NOT_FOUND, 404)
    with pytest.raises(RegistryNotFound):
        registry_at(liar.url).model("fraud")


def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(RegistryUnavailable):
            registry_at(f"http://127.0.0.1:{free.getsockname()[1]}").models()


def test_a_frozen_server_is_given_up_after_the_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        began = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            registry_at(f"http://127.0.0.1:{listener.getsockname()[1]}").models()
        assert time.monotonic() - began < 1.5


def test_a_page_leads_to_the_next(liar: Liar) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        second = "page_token=two" in handler.path
        body = page({"name": "b"}) if second else page({"name": "a"}, next_page_token="two")
        say(body)(handler)

    liar.answer = answer
    first = registry_at(liar.url).models()
    second = registry_at(liar.url).models(page=first.next)
    assert [[model.name for model in found.models] for found in (first, second)] == [["a"], ["b"]]
    assert second.next == ""


def test_an_answer_without_end_is_refused(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_http, "MAX_ANSWER", 10_000)
    liar.answer = say(b" " * 20_000)
    with pytest.raises(RegistryGarbled):
        registry_at(liar.url).models()


def test_each_request_carries_the_token_of_the_moment(liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    tokens = iter(["one", "two"])
    registry = MLflowRegistry(liar.url, timeout=1, token=lambda: next(tokens))
    registry.models()
    registry.models()
    assert [token for _, token in liar.asked] == ["Bearer one", "Bearer two"]


def test_an_error_never_shows_what_the_server_said(liar: Liar) -> None:
    liar.answer = say(b'{"registered_models":[{"name":{"secret":"hunter2"}}]}')
    with pytest.raises(RegistryGarbled) as caught:
        registry_at(liar.url, 10.0).models()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
