"""The pages and the OpenAPI document: complete, true, and free of anything from elsewhere."""

import re
from typing import Any

import pytest

from serving.gateway import schemas
from serving.gateway.openapi import OPERATIONS, document
from serving.gateway.openapi_examples import EXAMPLES
from stagedoor.problems import BY_CODE

UNDOCUMENTED = {"/", "/problems", "/docs/<file>"}


def test_every_path_of_the_app_is_documented(gateway: Any) -> None:
    documented = {(one.method.upper(), one.path) for one in OPERATIONS}
    rules = set()
    for rule in gateway.client.application.url_map.iter_rules():
        if rule.rule not in UNDOCUMENTED and not rule.endpoint.endswith("only_post"):
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            rules |= {(method, path) for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert rules == documented


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_each_example_fits_its_schema(name: str) -> None:
    assert getattr(schemas, name)().validate(EXAMPLES[name]) == {}


def test_operation_ids_are_unique_and_references_lead_somewhere() -> None:
    found = document()
    ids = [item[method]["operationId"] for item in found["paths"].values() for method in ("get", "post") if method in item]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for section, name in re.findall(r"#/components/(\w+)/(\w+)", repr(found)):
        assert name in found["components"][section]


def test_what_needs_a_token_says_so() -> None:
    paths = document()["paths"]
    assert paths["/models/{ref}/invocations"]["post"]["security"] == [{"token": []}]
    assert "security" not in paths["/livez"]["get"]


def test_the_document_is_served_as_json(gateway: Any) -> None:
    answer = gateway.client.get("/openapi.json")
    assert answer.content_type == "application/json"
    assert answer.json["openapi"] == "3.1.0"


PAGES = ("/docs", "/problems", "/problems/schema_mismatch")


@pytest.mark.parametrize("path", PAGES)
def test_pages_run_nothing_but_their_own_files(gateway: Any, path: str) -> None:
    answer = gateway.client.get(path)
    assert answer.content_type == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", answer.text)
    for file in re.findall(r'(?:src|href)="(/docs/[^"]+)"', answer.text):
        assert gateway.client.get(file).status_code == 200


@pytest.mark.parametrize("file", ["docs.js", "docs.css", "icon.svg"])
def test_the_pages_files_name_no_other_host(gateway: Any, file: str) -> None:
    text = gateway.client.get(f"/docs/{file}").text
    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert len(text) > 100


@pytest.mark.parametrize("path", ["/docs/../app.py", "/docs/app.py", "/docs/", "/static/docs.js"])
def test_no_other_file_is_served(gateway: Any, path: str) -> None:
    assert gateway.client.get(path).status_code == 404


def test_the_root_leads_to_the_page_for_people(gateway: Any) -> None:
    answer = gateway.client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_problem_type_leads_to_its_page(gateway: Any, code: str) -> None:
    answer = gateway.client.get(f"/problems/{code}")
    assert answer.status_code == 200
    assert code in answer.text


def test_an_unknown_problem_has_no_page(gateway: Any) -> None:
    assert gateway.client.get("/problems/bogus").json["code"] == "route_not_found"
