"""What a hostile or careless caller sends, and what each must get: exact status and code, at once, and nothing else changes."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .conftest import COLUMNS, MAX_BODY, MAX_ROWS, Answer, Gateway

pytestmark = pytest.mark.slow

GOOD_ROW = [14.0, 19.0, 600.0]
GOOD = {"dataframe_split": {"columns": list(COLUMNS), "data": [GOOD_ROW]}}
PATH = "/models/cancer/invocations"
CANARY = "zq-canary-9913"
"""Put into bad data: it must come back nowhere."""


@dataclass(frozen=True)
class Case:
    name: str
    send: Callable[[Gateway], Answer]
    status: int
    code: str


def body(name: str, data: Any, status: int, code: str, path: str = PATH, **options: Any) -> Case:
    return Case(name, lambda g: g.post(path, data, **options), status, code)


def token(name: str, make: Callable[[Gateway], str | None], status: int = 401, code: str = "token_invalid") -> Case:
    return Case(name, lambda g: g.post(PATH, GOOD, token=make(g), source=f"127.0.1.{hash(name) % 250 + 1}"), status, code)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {"iss": "stagedoor", "aud": "stagedoor", "sub": "ann", "exp": now + 600, "roles": ["tester"], "models": ["*"]}
    return {k: v for k, v in (base | changes).items() if v is not None}


def secret(g: Gateway) -> bytes:
    return g.house.secret.read_bytes().strip()


def signed(g: Gateway, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret(g), algorithm="HS256")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(alg: str) -> str:
    return f"{b64(json.dumps({'alg': alg, 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims()).encode())}."


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def zeroed_es256() -> str:
    head, payload, _ = jwt.encode(claims(), EC_KEY, algorithm="ES256").split(".")
    return f"{head}.{payload}.{b64(bytes(64))}"


def hs256_by_hand(key: bytes, **header: Any) -> str:
    import hashlib
    import hmac

    head = b64(json.dumps({"alg": "HS256", "typ": "JWT"} | header).encode())
    text = f"{head}.{b64(json.dumps(claims()).encode())}"
    return f"{text}.{b64(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


TOKENS = [
    token("no header", lambda g: None),
    *(token(f"alg {alg}", lambda g, alg=alg: unsigned(alg)) for alg in ("none", "None", "nOnE")),
    token("signature removed", lambda g: signed(g).rpartition(".")[0] + "."),
    token("HS256 signed with a public key", lambda g: hs256_by_hand(RSA_PEM)),
    token("ES256 of zeros", lambda g: zeroed_es256()),
    token("kid as a path with an empty key", lambda g: hs256_by_hand(b"", kid="../../../../dev/null")),
    token("kid with SQL", lambda g: hs256_by_hand(b"x", kid="' OR 1=1 --")),
    token("embedded jwk", lambda g: jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"jwk": {"kty": "RSA"}})),
    token("jku elsewhere", lambda g: jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"jku": "http://127.0.0.1:9"})),
    token("expired", lambda g: signed(g, exp=int(time.time()) - 61), code="token_expired"),
    token("no exp", lambda g: signed(g, exp=None)),
    token("no sub", lambda g: signed(g, sub=None)),
    token("not before tomorrow", lambda g: signed(g, nbf=int(time.time()) + 86400)),
    token("another audience", lambda g: signed(g, aud="elsewhere")),
    token("an audience that only contains ours", lambda g: signed(g, aud="stagedoor-elsewhere")),
    token("another issuer", lambda g: signed(g, iss="elsewhere")),
    token("garbage", lambda g: "abc.def.ghi"),
    token("roles of the wrong type", lambda g: signed(g, roles="admin")),
    Case("Basic", lambda g: g.post(PATH, GOOD, token=None, headers=(("Authorization", "Basic YTpi"),)), 401, "token_invalid"),
    Case(
        "empty bearer", lambda g: g.post(PATH, GOOD, token=None, headers=(("Authorization", "Bearer "),)), 401, "token_invalid"
    ),
    Case(
        "two Authorization headers",
        lambda g: g.post(PATH, GOOD, headers=(("Authorization", f"Bearer {g.token()}"),)),
        400,
        "header_malformed",
    ),
]

RIGHTS = [
    token("a viewer predicts", lambda g: g.token("viewer"), 403, "permission_denied"),
    token("a model of others", lambda g: g.token("predictor", models=("digits*",)), 404, "model_not_found"),
    Case(
        "pin without tester",
        lambda g: g.post("/models/cancer/1/invocations", GOOD, token=g.token("predictor")),
        403,
        "permission_denied",
    ),
    Case(
        "stage without tester",
        lambda g: g.post("/models/cancer/Production/invocations", GOOD, token=g.token("predictor")),
        403,
        "permission_denied",
    ),
    Case(
        "method override",
        lambda g: g.post("/models/cancer/invocations", GOOD, method="GET", headers=(("X-HTTP-Method-Override", "POST"),)),
        405,
        "method_not_allowed",
    ),
    body("a role in the body", {"data": [GOOD_ROW], "role": "admin"}, 422, "request_invalid", "/predict"),
    body("too many rows", {"inputs": [[0.0] * 64] * (MAX_ROWS + 1)}, 413, "body_too_large", "/models/digits/invocations"),
    body("no such model", GOOD, 404, "model_not_found", "/models/nothing/invocations"),
    body("no such alias", GOOD, 404, "model_not_found", "/models/cancer@nothing/invocations"),
    body("no such stage", GOOD, 404, "model_not_found", "/models/cancer/Staging/invocations"),
]

BODIES = [
    body("one byte over the limit", b" " * (MAX_BODY + 1), 413, "body_too_large"),
    body("wrong content type", GOOD, 415, "unsupported_media_type", content_type="text/plain"),
    body("no content type", GOOD, 415, "unsupported_media_type", content_type=None),
    body("invalid UTF-8", b'{"dataframe_split": "\xff"}', 400, "body_malformed"),
    body("deep nesting", b"[" * 100_000, 400, "body_malformed"),
    body("NaN literal", b'{"inputs": [NaN]}', 400, "body_malformed"),
    body("Infinity literal", b'{"inputs": [Infinity]}', 400, "body_malformed"),
    body("duplicate keys", b'{"inputs": [[1]], "inputs": [[2]]}', 400, "body_malformed"),
    body("duplicate keys in a record", b'{"dataframe_records": [{"a": 1, "a": 2}]}', 400, "body_malformed"),
    body("unknown keys", {**GOOD, CANARY: 1}, 422, "request_invalid"),
    body("empty", b"", 400, "body_malformed"),
    *(body(f"only {text.decode()}", text, 422, "request_invalid") for text in (b"[]", b"null", b"5")),
    body("two kinds of data", {**GOOD, "inputs": [[1.0]]}, 422, "request_invalid"),
    body("no data in the simple API", {"data": []}, 422, "schema_mismatch", "/predict"),
    Case("a chunked body over the limit", lambda g: chunked(g, [b" " * 50_000] * 6), 413, "body_too_large"),
]


def chunked(g: Gateway, chunks: list[bytes]) -> Answer:
    data = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    return g.post(PATH, data, headers=(("Transfer-Encoding", "chunked"),))


def table(data: Any, columns: list[str] | None = None) -> dict[str, Any]:
    return {"dataframe_split": {"columns": columns or list(COLUMNS), "data": data}}


def v2(shape: Any, data: Any, datatype: Any = "FP32") -> dict[str, Any]:
    return {"inputs": [{"name": "X", "shape": shape, "datatype": datatype, "data": data}]}


DIGITS_V2 = "/v2/models/digits/infer"
TENSORS = [
    *(
        body(f"a dimension of {shape}", v2(shape, [0.0] * 64), 422, "schema_mismatch", DIGITS_V2)
        for shape in ([-1, 64], [0, 64], [True, 64], [1.5, 64], [1] * 64 + [64], [2, 64], [1, 65])
    ),
    body("ragged rows", {"inputs": [[0.0] * 64, [0.0] * 63]}, 422, "schema_mismatch", "/models/digits/invocations"),
    body("unknown datatype", v2([1, 64], [0.0] * 64, "FP12"), 422, "schema_mismatch", DIGITS_V2),
    body("an extra column", table([[*GOOD_ROW, 1.0]], [*COLUMNS, "extra"]), 422, "schema_mismatch"),
    body("a missing column", table([GOOD_ROW[:2]], list(COLUMNS[:2])), 422, "schema_mismatch"),
    body("a misspelt column", table([GOOD_ROW], ["mean radius", "mean texture", "mean aera"]), 422, "schema_mismatch"),
    body("a string in a number column", table([[CANARY, 1.0, 2.0]]), 422, "schema_mismatch"),
    body(
        "a float for an integer column",
        table([[1.0, 2.5]], ["amount", "count"]),
        422,
        "schema_mismatch",
        "/models/moody/invocations",
    ),
    body(
        "a null for an integer column",
        table([[1.0, None]], ["amount", "count"]),
        422,
        "schema_mismatch",
        "/models/moody/invocations",
    ),
    body("the simple API's shape and data differ", {"data": GOOD_ROW, "shape": [2, 3]}, 422, "schema_mismatch", "/predict"),
]

NAMES = [
    body(f"name {name}", GOOD, 400, "name_malformed", f"/models/{name}/invocations")
    for name in (
        "..", "../x", "%2e%2e%2f", "%252e%252e%252f", "a%00b", "C:", "x" * 300, "a%3Fx", "a%23b", "a@b@c", "models:%2Fx",
        "cancer/01", "cancer/-1", "cancer/+1", "cancer/9223372036854775808", "cancer/latest",
    )
]  # fmt: skip

HEADERS = [
    body("a request id with spaces", GOOD, 400, "header_malformed", headers=(("X-Request-Id", f"{CANARY} b"),)),
    body("a request id too long", GOOD, 400, "header_malformed", headers=(("X-Request-Id", "x" * 200),)),
]

MODEL_FAULTS = [
    body("the model raises", table([[666.0]], ["amount"]), 500, "model_error", "/models/moody/invocations"),
    body("the model answers NaN", table([[667.0]], ["amount"]), 500, "invalid_output", "/models/moody/invocations"),
]

ALL = [*TOKENS, *RIGHTS, *BODIES, *TENSORS, *NAMES, *HEADERS, *MODEL_FAULTS]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_bad_input_gets_its_problem_and_changes_nothing(gateway: Gateway, case: Case) -> None:
    workers = gateway.workers()
    answer = case.send(gateway)
    assert (answer.status, answer.code) == (case.status, case.code), answer.body[:300]
    assert answer.seconds < 5  # the aim is 1 s; a shared machine is given room
    assert CANARY.encode() not in answer.body
    assert b"Traceback" not in answer.body
    if "/v2/" in str(case) or "error" in answer.json():
        assert answer.json()["error"] == answer.json()["detail"]
    assert gateway.post(PATH, GOOD).status == 200
    assert gateway.workers() == workers


def test_series_do_not_grow_with_what_callers_invent(gateway: Gateway) -> None:
    for case in ALL:
        case.send(gateway)
    _invent(gateway, range(20))  # both workers have now seen every kind of refusal
    time.sleep(0.5)
    before = gateway.series()
    _invent(gateway, range(100, 130))
    time.sleep(0.5)
    assert gateway.series() == before


def _invent(gateway: Gateway, numbers: range) -> None:
    for number in numbers:
        gateway.post(f"/models/invented-{number}/invocations", GOOD)
        gateway.post(f"/models/cancer@invented{number}/invocations", GOOD)
        gateway.post(f"/models/cancer/{9000 + number}/invocations", GOOD, token=gateway.token("predictor"))
        gateway.get(f"/invented/{number}")


def test_the_log_quotes_neither_data_nor_tokens(gateway: Gateway) -> None:
    good = gateway.token()
    gateway.post(PATH, table([[CANARY, 1.0, 2.0]]), token=good)
    gateway.post("/models/moody/invocations", table([[666.0]], ["amount"]), token=good)
    time.sleep(0.5)
    text = gateway.log.read_text()
    assert CANARY not in text
    assert good not in text
    assert "cannot stand" not in text
    assert "ValueError at moody.py" in text


def test_a_model_of_others_answers_exactly_as_one_that_does_not_exist(gateway: Gateway) -> None:
    mine = gateway.token("predictor", models=("digits*",))
    hidden = gateway.post(PATH, GOOD, token=mine).json()
    absent = gateway.post("/models/nobody/invocations", GOOD, token=mine).json()
    assert {k: v for k, v in hidden.items() if k != "request_id"} == {
        k: v.replace("nobody", "cancer") if isinstance(v, str) else v for k, v in absent.items() if k != "request_id"
    }


def test_twenty_bad_tokens_a_minute_are_enough(gateway: Gateway) -> None:
    here = "127.0.2.7"
    answers = []
    while len(answers) < 300 and (not answers or answers[-1].status != 429):  # each worker counts for itself
        answers.append(gateway.post(PATH, GOOD, token=f"a.b.{len(answers)}", source=here))
    assert len(answers) > 20
    assert {answer.status for answer in answers[:-1]} == {401}
    assert (answers[-1].code, int(answers[-1].headers["retry-after"]) > 0) == ("too_many_attempts", True)
    assert gateway.post(PATH, GOOD, source=here).status == 200  # a good token still passes


def test_a_model_that_takes_too_long_is_cut_off(gateway: Gateway) -> None:
    answer = gateway.post("/models/moody/invocations", table([[668.0]], ["amount"]))
    assert (answer.status, answer.code) == (504, "prediction_timeout")
    assert answer.seconds < 3.9
    time.sleep(2.5)  # let the model's own thread end
