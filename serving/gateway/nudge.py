"""`POST /nudge`: look at the registry now. A hint; what is then live is decided by what the registry says."""

import time
from typing import Final

from flask import Blueprint, Response, request

from serving.gateway.access import current_principal, services
from serving.gateway.answers import json_answer
from serving.gateway.predictions import read_body
from serving.snapshot_file import request_nudge
from stagedoor import names
from stagedoor.auth import check_role
from stagedoor.errors import BodyTooLarge, TokenInvalid
from stagedoor.telemetry import get_logger
from stagedoor.webhooks import HEADER_DELIVERY, HEADER_SIGNATURE, HEADER_TIMESTAMP, Delivery, check_signature

views = Blueprint("nudge", __name__)

MAX_BODY: Final = 64 * 1024


@views.post("/nudge")
def nudge() -> Response:
    """Accept a promoter's token, or a webhook that MLflow signed with the shared secret."""
    body = read_body(request.environ, MAX_BODY)
    if len(body) > MAX_BODY or (request.content_length or 0) > MAX_BODY:
        raise BodyTooLarge(MAX_BODY)
    sender = _webhook(body) if HEADER_SIGNATURE in request.headers else _promoter()
    request_nudge(services().paths)
    get_logger().info("nudged", by=sender)
    return json_answer({"status": "accepted"}, 202)


def _promoter() -> str:
    principal = current_principal()
    check_role(principal, "send a nudge", names.ROLE_PROMOTER, names.ROLE_ADMIN)
    return principal.subject


def _webhook(body: bytes) -> str:
    secret = services().settings.webhook_secret
    if secret is None:
        raise TokenInvalid("a webhook came, and no STAGEDOOR_WEBHOOK_SECRET is set")
    headers = request.headers
    delivery = Delivery(
        headers.get(HEADER_DELIVERY, ""), headers.get(HEADER_TIMESTAMP, ""), headers.get(HEADER_SIGNATURE, ""), body
    )
    check_signature(delivery, secret.get_secret_value().encode(), time.time())
    return "mlflow webhook"
