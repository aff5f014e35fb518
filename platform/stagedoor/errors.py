"""Everything that can go wrong, as one tree. It knows nothing of HTTP: one table in the gateway gives each leaf its status.

StagedoorError
├── Rejected                the caller can mend it
│   ├── MalformedBody           not readable as what it claims to be
│   ├── BodyTooLarge            over a limit of bytes or rows
│   ├── UnsupportedMediaType    no codec for this content type
│   ├── UnsupportedEncoding     compressed in a way that is not unpacked here
│   ├── InvalidRequest          readable, yet not a request of this protocol
│   ├── SchemaMismatch          the data does not fit the model's signature
│   ├── MalformedName           no such name can exist
│   ├── MalformedHeader         a header no honest client sends
│   ├── TargetTooLong           a request line over the limit
│   ├── HeadTooLarge            too many headers, or too long ones
│   ├── RequestTooSlow          head or body did not arrive in time
│   ├── TokenInvalid            no token, or one that proves nothing
│   ├── TokenExpired            it was a good token once
│   ├── PermissionDenied        a good token without the right
│   ├── OwnApproval             the second person would be the first
│   ├── TooManyAttempts         too many bad tokens from one address
│   ├── NotAcceptable           an answer form the protocol does not have
│   ├── ModelNotFound           nothing of that name that this caller may see
│   └── Conflict                it does not go together with what is under way
├── Unserved                a sound request that could not be answered
│   ├── NotReady                the gateway has no snapshot yet
│   ├── VersionNotReady         the version is still being fetched or loaded
│   ├── VersionRefused          the version cannot be loaded; says why
│   ├── Overloaded              more work than room for it
│   ├── ModelFailed             the model raised
│   ├── InvalidOutput           the model answered what cannot be an answer
│   └── PredictionTimeout       the model did not answer in time
├── ArtifactError           a version that must not serve
│   ├── MissingArtifact         a file the MLmodel names is not there
│   ├── TamperedArtifact        the digest is not the recorded one
│   ├── UnsafeArtifact          it reaches outside its own folder
│   ├── UnsupportedFlavor       no loader for it
│   ├── LoadFailed              the loader raised or the process died
│   ├── LoadTimeout             it did not load in time
│   └── OverBudget              larger than the memory allowed
├── RegistryError           MLflow could not tell
│   ├── RegistryUnavailable     no answer, or a failing one
│   ├── RegistryGarbled         an answer that makes no sense
│   ├── RegistryDenied          it refuses our token
│   ├── RegistryNotFound        it says there is no such thing
│   └── RegistryConflict        what was to be changed is not what it was
├── ControlError            a rollout cannot be decided or written down
│   ├── LedgerUnavailable       the ledger gives no answer
│   ├── LedgerTampered          a row is not what was written
│   ├── LeaseLost               another controller has taken over
│   └── EvidenceUnavailable     nobody could say how the versions do
├── InvalidTag              a tag that does not say what it should
└── ConfigurationError      cannot start like this
    └── PortTaken               somebody else listens there

Errors carry data as attributes; `__str__` writes the sentence. A sentence never quotes a caller's data or a secret.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any


class StagedoorError(Exception):
    """Root of the tree. Every leaf's message says what to do next."""


# --- Rejected ---------------------------------------------------------------------------------------------------------


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


class TokenInvalid(Rejected):
    """There is no token, or it proves nothing. `reason` is for the log; callers learn only that it failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return "The request carries no valid bearer token. Send `Authorization: Bearer <token>`; `stagedoor token` issues one."


class TokenExpired(Rejected):
    """The token was good and is past its `exp`."""

    def __str__(self) -> str:
        return "The token has expired. Ask for a new one; `stagedoor token` issues one."


class PermissionDenied(Rejected):
    """A good token that lacks a role for `action`; `roles` lists the roles that would do."""

    def __init__(self, action: str, roles: Iterable[str]) -> None:
        self.action = action
        self.roles = tuple(roles)
        super().__init__(action, self.roles)

    def __str__(self) -> str:
        return f"This token may not {self.action}. It needs one of the roles: {', '.join(self.roles)}."


class OwnApproval(Rejected):
    """The model wants a second person's approval, and this one is the first."""

    def __str__(self) -> str:
        return "Who promotes a version of this model does not approve it as well. Ask another promoter to approve it."


class TooManyAttempts(Rejected):
    """Too many bad tokens from one address; try again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"Too many requests with bad tokens came from this address. Try again in {self.retry_after} seconds."


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


# --- Unserved ---------------------------------------------------------------------------------------------------------


class Unserved(StagedoorError):
    """A sound request that could not be answered."""


class NotReady(Unserved):
    """No snapshot has been read yet."""

    retry_after = 1

    def __str__(self) -> str:
        return "The gateway has not read the registry yet. Try again shortly."


class VersionNotReady(Unserved):
    """The version `ref` exists, or may exist, and is still on its way."""

    retry_after = 1

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.ref = ref

    def __str__(self) -> str:
        return f"{self.ref} is being fetched and loaded. Try again shortly."


class VersionRefused(Unserved):
    """The version `ref` cannot be served; `code` is the error code of its failure (never a raw message)."""

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(ref, reason)
        self.ref = ref
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.ref} cannot be served: {self.reason}"


class Overloaded(Unserved):
    """More requests than room for them."""

    retry_after = 1

    def __str__(self) -> str:
        return "The gateway has more requests than it can take. Try again shortly."


class ModelFailed(Unserved):
    """The model raised. The cause goes to the log, never to the caller."""

    def __str__(self) -> str:
        return "The model failed on this input. The request id leads its owner to the cause in the log."


class InvalidOutput(Unserved):
    """The model answered something that cannot be an answer: not finite, or not of its own signature."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The model gave an invalid answer: {self.reason}."


class PredictionTimeout(Unserved):
    """The model did not answer within `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"The model did not answer within {self.seconds:g} seconds."


# --- ArtifactError ----------------------------------------------------------------------------------------------------


class ArtifactError(StagedoorError):
    """A version that must not serve. `reason` is one sentence for people, free of machine paths."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class MissingArtifact(ArtifactError):
    """A file that the MLmodel file names, or the MLmodel file itself, is not there."""


class TamperedArtifact(ArtifactError):
    """The bytes are not those whose digest was recorded."""


class UnsafeArtifact(ArtifactError):
    """A link or path in the artifact leads outside its own folder."""


class UnsupportedFlavor(ArtifactError):
    """There is no loader for what the MLmodel file declares."""


class LoadFailed(ArtifactError):
    """The loader raised, or the loading process died."""


class LoadTimeout(ArtifactError):
    """Loading took longer than allowed."""


class OverBudget(ArtifactError):
    """The version needs more memory than the budget has."""


# --- RegistryError ----------------------------------------------------------------------------------------------------


class RegistryError(StagedoorError):
    """MLflow could not tell. Nothing that is live changes because of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class RegistryUnavailable(RegistryError):
    """No answer, or a 5xx."""


class RegistryGarbled(RegistryError):
    """An answer that is not what MLflow answers."""


class RegistryDenied(RegistryError):
    """401 or 403: our token does not do."""


class RegistryNotFound(RegistryError):
    """MLflow itself says, in its own words, that there is no such thing."""


class RegistryConflict(RegistryError):
    """Somebody else changed it in between. Theirs stands."""


# --- ControlError -----------------------------------------------------------------------------------------------------


class ControlError(StagedoorError):
    """The control plane cannot go on just now. What is live stays live; `reason` is one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class LedgerUnavailable(ControlError):
    """The ledger's database gives no answer, or a failing one."""


class LedgerTampered(ControlError):
    """A row of the ledger does not fit its hash, or the one before it."""


class LeaseLost(ControlError):
    """Another controller holds a newer lease: nothing that this one decided may be carried out."""


class EvidenceUnavailable(ControlError):
    """Not every gateway, or not Prometheus, could tell how the versions do.

    `partial` is what is known nevertheless: evidence to roll back on, never to promote on.
    """

    def __init__(self, reason: str, partial: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.partial = partial


# --- the rest ---------------------------------------------------------------------------------------------------------


class InvalidTag(StagedoorError):
    """The tag `key` does not say what it should; `reason` says how to write it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"Tag {self.key}: {self.reason}"


class ConfigurationError(StagedoorError):
    """Stagedoor cannot start like this."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class PortTaken(ConfigurationError):
    """Somebody else listens on `port`; `option` is the command-line option that chooses another."""

    def __init__(self, what: str, port: int, option: str) -> None:
        super().__init__(f"Port {port} for {what} is taken. Choose another with {option} PORT.")
        self.port = port
        self.option = option
