"""The body of every error."""

from marshmallow import Schema, fields

from serving.gateway.schemas.fields import integer, text


class Problem(Schema):
    """RFC 9457 problem. `type` leads to a page about it; `code` never changes."""

    type = text("Address of a page about this problem, relative to the gateway.")
    title = text("What kind of problem, always the same for one code.")
    status = integer("The HTTP status.")
    detail = text("What happened this time and what to do. Never quotes the data that was sent.")
    code = text("Stable code for programs.")
    request_id = text("Id of this request, as in the log.")
    field = fields.String(metadata={"description": "schema_mismatch: the column, tensor or parameter."})
    expected = fields.String(metadata={"description": "schema_mismatch: what the signature asks for."})
    limit = fields.Integer(metadata={"description": "body_too_large: how much fits."})
    unit = fields.String(metadata={"description": "body_too_large: bytes or rows."})
    accepted = fields.List(fields.String(), metadata={"description": "unsupported_media_type: what is accepted."})
    roles = fields.List(fields.String(), metadata={"description": "permission_denied: roles that would do."})
    allowed = fields.List(fields.String(), metadata={"description": "method_not_allowed: methods of this path."})
    retry_after = fields.Integer(metadata={"description": "Seconds to wait before the next attempt."})
    error = fields.String(metadata={"description": "On /v2: the detail once more, as that protocol asks."})
