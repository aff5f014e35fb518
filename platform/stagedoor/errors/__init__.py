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

Each branch has a module of its own, and what is rejected has two: `rejected` for what was sent, `denied` for who sent it.
Import all of them from here.

Errors carry data as attributes; `__str__` writes the sentence. A sentence never quotes a caller's data or a secret.
"""

from stagedoor.errors.artifacts import (
    ArtifactError,
    LoadFailed,
    LoadTimeout,
    MissingArtifact,
    OverBudget,
    TamperedArtifact,
    UnsafeArtifact,
    UnsupportedFlavor,
)
from stagedoor.errors.base import StagedoorError
from stagedoor.errors.configured import ConfigurationError, InvalidTag, PortTaken
from stagedoor.errors.control import ControlError, EvidenceUnavailable, LeaseLost, LedgerTampered, LedgerUnavailable
from stagedoor.errors.denied import OwnApproval, PermissionDenied, TokenExpired, TokenInvalid, TooManyAttempts
from stagedoor.errors.registry import (
    RegistryConflict,
    RegistryDenied,
    RegistryError,
    RegistryGarbled,
    RegistryNotFound,
    RegistryUnavailable,
)
from stagedoor.errors.rejected import (
    BodyTooLarge,
    Conflict,
    HeadTooLarge,
    InvalidRequest,
    MalformedBody,
    MalformedHeader,
    MalformedName,
    ModelNotFound,
    NotAcceptable,
    Rejected,
    RequestTooSlow,
    SchemaMismatch,
    TargetTooLong,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from stagedoor.errors.unserved import (
    InvalidOutput,
    ModelFailed,
    NotReady,
    Overloaded,
    PredictionTimeout,
    Unserved,
    VersionNotReady,
    VersionRefused,
)

__all__ = [
    "ArtifactError",
    "BodyTooLarge",
    "ConfigurationError",
    "Conflict",
    "ControlError",
    "EvidenceUnavailable",
    "HeadTooLarge",
    "InvalidOutput",
    "InvalidRequest",
    "InvalidTag",
    "LeaseLost",
    "LedgerTampered",
    "LedgerUnavailable",
    "LoadFailed",
    "LoadTimeout",
    "MalformedBody",
    "MalformedHeader",
    "MalformedName",
    "MissingArtifact",
    "ModelFailed",
    "ModelNotFound",
    "NotAcceptable",
    "NotReady",
    "OverBudget",
    "Overloaded",
    "OwnApproval",
    "PermissionDenied",
    "PortTaken",
    "PredictionTimeout",
    "RegistryConflict",
    "RegistryDenied",
    "RegistryError",
    "RegistryGarbled",
    "RegistryNotFound",
    "RegistryUnavailable",
    "Rejected",
    "RequestTooSlow",
    "SchemaMismatch",
    "StagedoorError",
    "TamperedArtifact",
    "TargetTooLong",
    "TokenExpired",
    "TokenInvalid",
    "TooManyAttempts",
    "UnsafeArtifact",
    "Unserved",
    "UnsupportedEncoding",
    "UnsupportedFlavor",
    "UnsupportedMediaType",
    "VersionNotReady",
    "VersionRefused",
]
