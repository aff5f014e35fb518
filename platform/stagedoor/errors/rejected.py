"""Requests that their callers can mend: what cannot be read, or asked for, as it was sent."""

from collections.abc import Iterable

from stagedoor.errors.base import StagedoorError


class Rejected(StagedoorError):
    """The caller sent something that can be mended by the caller."""


class MalformedBody(Rejected):
    """The body is not readable as its content type.

    `reason` completes "The body ..." and never quotes it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The body {self.reason}."


class BodyTooLarge(Rejected):
    """More than `limit` of `unit` ("bytes" or "rows")."""

    def __init__(self, limit: int, unit: str = "bytes") -> None:
        super().__init__(limit, unit)
        self.limit = limit
        self.unit = unit

    def __str__(self) -> str:
        return f"The body has more than {self.limit} {self.unit}. Send it in smaller pieces."


class UnsupportedMediaType(Rejected):
    """The content type has no codec on this path; `accepted` lists those that have."""

    def __init__(self, accepted: Iterable[str]) -> None:
        self.accepted = tuple(accepted)
        super().__init__(self.accepted)

    def __str__(self) -> str:
        return f"The content type is not one of those accepted here: {', '.join(self.accepted)}."


class UnsupportedEncoding(Rejected):
    """The body's Content-Encoding is none of those `accepted`, or several at once."""

    def __init__(self, accepted: Iterable[str]) -> None:
        self.accepted = tuple(accepted)
        super().__init__(self.accepted)

    def __str__(self) -> str:
        return f"The body's Content-Encoding is not one of those accepted here, alone: {', '.join(self.accepted)}."


class InvalidRequest(Rejected):
    """Well-formed JSON, yet not a request of this protocol."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class SchemaMismatch(Rejected):
    """The data does not fit the signature. Names the field, what was expected and what kind of thing came."""

    def __init__(self, field: str, expected: str, found: str) -> None:
        super().__init__(field, expected, found)
        self.field = field
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}."


class MalformedName(Rejected):
    """`what` ("model name", "alias", "version", ...) is written in a way that can name nothing; `rule` says which way can."""

    def __init__(self, what: str, rule: str) -> None:
        super().__init__(what, rule)
        self.what = what
        self.rule = rule

    def __str__(self) -> str:
        return f"The {self.what} is malformed: {self.rule}."


class MalformedHeader(Rejected):
    """The header `name` breaks `rule`."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(name, rule)
        self.name = name
        self.rule = rule

    def __str__(self) -> str:
        return f"The header {self.name} is malformed: {self.rule}."


class TargetTooLong(Rejected):
    """The request line has more than `limit` bytes."""

    unit = "bytes"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"The request line is longer than {self.limit} bytes. Shorten the path or the query."


class HeadTooLarge(Rejected):
    """The headers of a request are more than `limit` in `unit`: `headers`, or `bytes`."""

    def __init__(self, limit: int, unit: str = "bytes") -> None:
        super().__init__(limit, unit)
        self.limit = limit
        self.unit = unit

    def __str__(self) -> str:
        return f"The request has more than {self.limit} {self.unit} in its head or in one header. Send fewer, or shorter ones."


class RequestTooSlow(Rejected):
    """Head or body of a request did not arrive in time."""

    def __str__(self) -> str:
        return "The request did not arrive in time. Send it again, and faster."


class NotAcceptable(Rejected):
    """The caller asked for an answer in a form the protocol does not have."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ModelNotFound(Rejected):
    """No model, version, alias or stage of that name that this caller may see. `ref` is already a checked name."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.ref = ref

    def __str__(self) -> str:
        return f"There is no model {self.ref} that you may use. Check the name, and that the alias or version exists in MLflow."


class Conflict(Rejected):
    """What is asked for does not go together with what is under way. `reason` says what is, and what to do first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
