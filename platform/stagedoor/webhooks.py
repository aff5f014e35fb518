"""The signature of MLflow's webhooks, checked as MLflow writes it (mlflow/webhooks/delivery.py). Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from stagedoor.errors import TokenInvalid

WINDOW_SECONDS: Final = 300
HEADER_SIGNATURE: Final = "X-MLflow-Signature"
HEADER_DELIVERY: Final = "X-MLflow-Delivery-Id"
HEADER_TIMESTAMP: Final = "X-MLflow-Timestamp"
_SCHEME: Final = "v1,"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as it came: its three headers, empty where absent, and its body."""

    delivery_id: str
    timestamp: str
    signature: str
    body: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str], body: bytes) -> Self:
        """From headers with names in lower case."""
        delivery_id, timestamp, signature = (
            headers.get(name.lower(), "") for name in (HEADER_DELIVERY, HEADER_TIMESTAMP, HEADER_SIGNATURE)
        )
        return cls(delivery_id, timestamp, signature, body)


def check_signature(delivery: Delivery, secret: bytes, now: float) -> None:
    """Let pass what was signed with `secret` within five minutes of `now` (seconds since 1970).

    The signature is `v1,` and the base64 of HMAC-SHA256 over "id.timestamp.body". Raises TokenInvalid.
    """
    if not delivery.timestamp.isdecimal() or not delivery.timestamp.isascii() or len(delivery.timestamp) > 12:  # noqa: PLR2004
        raise TokenInvalid("the webhook's timestamp is not a number of seconds")
    if abs(now - int(delivery.timestamp)) > WINDOW_SECONDS:
        raise TokenInvalid("the webhook's timestamp is more than five minutes off")
    if not delivery.signature.startswith(_SCHEME):
        raise TokenInvalid("the webhook's signature is not of the scheme v1")
    signed = f"{delivery.delivery_id}.{delivery.timestamp}.".encode("latin-1", "replace") + delivery.body
    try:
        given = base64.b64decode(delivery.signature.removeprefix(_SCHEME), validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenInvalid("the webhook's signature is not base64") from error
    if not hmac.compare_digest(given, hmac.new(secret, signed, hashlib.sha256).digest()):
        raise TokenInvalid("the webhook's signature does not fit")
