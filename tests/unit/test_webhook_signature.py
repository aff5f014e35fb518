"""Signatures of MLflow's webhooks."""

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest

from stagedoor.errors import TokenInvalid
from stagedoor.webhooks import Delivery, check_signature

SECRET = b"between us"
NOW = 1_700_000_000.0


def sign(delivery_id: str, timestamp: str, body: bytes, secret: bytes = SECRET) -> Delivery:
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return Delivery(delivery_id, timestamp, f"v1,{signature}", body)


GOOD = sign("delivery-1", "1700000000", b'{"entity":"model_version_alias"}')


def test_it_accepts_what_mlflow_itself_signs() -> None:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = '{"entity":"model_version_alias"}'
    signature = _generate_hmac_signature(SECRET.decode(), "delivery-1", "1700000000", body)
    check_signature(Delivery("delivery-1", "1700000000", signature, body.encode()), SECRET, NOW)


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_signature_within_five_minutes_passes(age: int) -> None:
    check_signature(GOOD, SECRET, NOW + age)


BAD = (
    ("too old", GOOD, NOW + 301),
    ("from the future", GOOD, NOW - 301),
    ("other body", replace(GOOD, body=b"{}"), NOW),
    ("other id", replace(GOOD, delivery_id="delivery-2"), NOW),
    ("other time", replace(GOOD, timestamp="1700000001"), NOW),
    ("other secret", sign("delivery-1", "1700000000", b"{}", b"guessed"), NOW),
    ("empty", Delivery("", "", "", b""), NOW),
    ("no scheme", replace(GOOD, signature=GOOD.signature.removeprefix("v1,")), NOW),
    ("other scheme", replace(GOOD, signature="v0," + GOOD.signature.removeprefix("v1,")), NOW),
    ("not base64", replace(GOOD, signature="v1,\xff!"), NOW),
    ("empty signature", replace(GOOD, signature="v1,"), NOW),
    ("time is no number", replace(GOOD, timestamp="soon"), NOW),
    ("time in other digits", replace(GOOD, timestamp="\u0661" * 10), NOW),
    ("time of a thousand digits", replace(GOOD, timestamp="1" * 1000), NOW),
)


@pytest.mark.parametrize(("delivery", "now"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_anything_else_is_refused(delivery: Delivery, now: float) -> None:
    with pytest.raises(TokenInvalid):
        check_signature(delivery, SECRET, now)
