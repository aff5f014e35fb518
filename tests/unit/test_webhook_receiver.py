"""Webhooks at the controller's door: each once, only MLflow's, and none too large."""

import base64
import hashlib
import hmac
import threading

import pytest

from registry_hooks.webhooks import receiver as module
from registry_hooks.webhooks.receiver import MAX_BODY, Receiver
from stagedoor.errors import BodyTooLarge, TokenInvalid
from stagedoor.webhooks import Delivery

SECRET = b"between us"
NOW = 1_700_000_000.0


def signed(delivery_id: str, at: float = NOW, body: bytes = b"{}", secret: bytes = SECRET) -> Delivery:
    timestamp = str(int(at))
    text = f"{delivery_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    headers = {
        "x-mlflow-delivery-id": delivery_id,
        "x-mlflow-timestamp": timestamp,
        "x-mlflow-signature": f"v1,{signature}",
        "host": "controller",
    }
    return Delivery.of(headers, body)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(SECRET)


@pytest.mark.parametrize("later", [0, 1, 299, 599])
def test_a_delivery_counts_once_for_as_long_as_it_passes(receiver: Receiver, later: float) -> None:
    delivery = signed("a", at=NOW + 300)
    assert receiver.accept(delivery, NOW)
    assert not receiver.accept(delivery, NOW + later)
    assert receiver.accept(signed("b", at=NOW + later), NOW + later)


def test_after_that_it_is_too_old(receiver: Receiver) -> None:
    delivery = signed("a", at=NOW + 300)
    assert receiver.accept(delivery, NOW)
    with pytest.raises(TokenInvalid):
        receiver.accept(delivery, NOW + 601)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 50_000, b'{"entity":5}'])
def test_what_it_says_matters_to_nobody(receiver: Receiver, body: bytes) -> None:
    assert receiver.accept(signed("a", body=body), NOW)


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery.of({}, b"{}"),
        signed("a", secret=b"guessed"),
        signed("a", at=NOW - 301),
        signed("a", at=NOW + 301),
        Delivery.of({"x-mlflow-delivery-id": "a", "x-mlflow-timestamp": str(int(NOW))}, b"{}"),
    ],
    ids=["nothing", "forged", "stale", "of the future", "unsigned"],
)
def test_what_mlflow_did_not_sign_just_now_is_refused_and_not_remembered(receiver: Receiver, delivery: Delivery) -> None:
    with pytest.raises(TokenInvalid):
        receiver.accept(delivery, NOW)
    assert receiver.accept(signed("a"), NOW)


def test_one_byte_too_many_is_refused_before_anything_else(receiver: Receiver) -> None:
    assert receiver.accept(signed("a", body=b" " * MAX_BODY), NOW)
    with pytest.raises(BodyTooLarge):
        receiver.accept(Delivery("b", "never", "none", b" " * (MAX_BODY + 1)), NOW)


def test_the_memory_for_ids_is_bounded_and_the_newest_stay(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5)
    deliveries = [signed(str(number)) for number in range(12)]
    assert all(receiver.accept(delivery, NOW) for delivery in deliveries)
    assert not any(receiver.accept(delivery, NOW) for delivery in deliveries[-5:])
    assert len(receiver._seen) == 5  # noqa: SLF001  nothing else shows it


def test_of_many_copies_at_once_one_counts(receiver: Receiver) -> None:
    delivery, start, counted = signed("a"), threading.Barrier(8), []

    def take() -> None:
        start.wait(10)
        counted.append(receiver.accept(delivery, NOW))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(counted) == [False] * 7 + [True]
