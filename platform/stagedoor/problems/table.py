"""The one table from leaf class to code, status, title and advice."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from stagedoor import errors
from stagedoor.problems.leaves import MalformedRequest, MethodNotAllowed, RouteNotFound


@dataclass(frozen=True, slots=True)
class Problem:
    """One row: the stable code, the HTTP status, a title that never changes, and advice for people."""

    code: str
    status: int
    title: str
    advice: str


INTERNAL: Final = Problem(
    "internal_error",
    500,
    "Internal error",
    "Something is wrong in Stagedoor itself, not in the request. Look for the request id in the gateway's log and report it.",
)

PROBLEMS: Final[Mapping[type[Exception], Problem]] = MappingProxyType(
    {
        # --- the caller can mend it ---
        errors.MalformedBody: Problem(
            "body_malformed",
            400,
            "Malformed body",
            "The body cannot be read as what its Content-Type says. Check the encoding (UTF-8), the brackets, duplicate keys, "
            "and that no NaN or Infinity literal is in the JSON.",
        ),
        errors.BodyTooLarge: Problem(
            "body_too_large",
            413,
            "Body too large",
            "Split the data over several requests; `limit` and `unit` say how much fits.",
        ),
        errors.UnsupportedMediaType: Problem(
            "unsupported_media_type", 415, "Unsupported media type", "Send one of the content types that `accepted` lists."
        ),
        errors.UnsupportedEncoding: Problem(
            "unsupported_encoding", 415, "Unsupported encoding", "Send the body plain, or in one of the codings in `accepted`."
        ),
        errors.InvalidRequest: Problem(
            "request_invalid", 422, "Invalid request", "The JSON is sound, yet not a request of this protocol. See /docs."
        ),
        errors.SchemaMismatch: Problem(
            "schema_mismatch",
            422,
            "Data does not fit the model's signature",
            "`field` names the column or tensor, `expected` what the signature asks for. GET /models/{ref} shows it whole.",
        ),
        errors.MalformedName: Problem(
            "name_malformed",
            400,
            "Malformed name",
            "Write a model as `fraud`, `fraud@champion`, `fraud/7` or `fraud/Production`; a name holds none of / \\ : @ ? # %.",
        ),
        errors.MalformedHeader: Problem(
            "header_malformed", 400, "Malformed header", "Send the header once, in the form that the detail describes."
        ),
        errors.TargetTooLong: Problem(
            "target_too_long", 414, "Request line too long", "Send the data in the body; paths and queries here are short."
        ),
        errors.HeadTooLarge: Problem(
            "head_too_large", 431, "Headers too large", "Send fewer or shorter headers; `limit` and `unit` say how much fits."
        ),
        errors.RequestTooSlow: Problem(
            "request_timeout", 408, "Request timed out", "Send the request again, whole and without pauses."
        ),
        errors.TokenInvalid: Problem(
            "token_invalid",
            401,
            "No valid token",
            "Send `Authorization: Bearer <token>`. `stagedoor token` issues one; the issuer, audience and key must be ours.",
        ),
        errors.TokenExpired: Problem(
            "token_expired", 401, "Token expired", "The token was good and is past its `exp`. Ask for a new one."
        ),
        errors.PermissionDenied: Problem(
            "permission_denied",
            403,
            "Permission denied",
            "The token is good but lacks a role; `roles` lists those that would do.",
        ),
        errors.OwnApproval: Problem(
            "own_approval",
            403,
            "A second person is needed",
            "The tag stagedoor.approval asks for two people. Let another promoter approve the version.",
        ),
        errors.TooManyAttempts: Problem(
            "too_many_attempts", 429, "Too many bad tokens", "Wait for `retry_after` seconds, and send a good token."
        ),
        errors.NotAcceptable: Problem(
            "not_acceptable", 406, "Not acceptable", "Ask for an answer in a form that this protocol has."
        ),
        errors.ModelNotFound: Problem(
            "model_not_found",
            404,
            "No such model",
            "No model, version, alias or stage of that name that this token may use. Check the spelling, that the alias or "
            "version exists in MLflow, and that a pattern in the token's `models` matches.",
        ),
        RouteNotFound: Problem("route_not_found", 404, "No such path", "/docs lists the paths of this gateway."),
        MethodNotAllowed: Problem(
            "method_not_allowed", 405, "Method not allowed", "The Allow header names the methods that this path takes."
        ),
        MalformedRequest: Problem(
            "request_malformed", 400, "Malformed request", "Send a request as HTTP defines it; an HTTP library does."
        ),
        errors.Conflict: Problem(
            "conflict", 409, "Conflict", "Something is under way that this would contradict; `stagedoor status MODEL` shows it."
        ),
        # --- a sound request that could not be answered ---
        errors.NotReady: Problem(
            "not_ready", 503, "Gateway not ready", "The gateway has just started. Try again after `retry_after` seconds."
        ),
        errors.VersionNotReady: Problem(
            "version_not_ready",
            503,
            "Version not ready",
            "It is being fetched and loaded. Try again after `retry_after` seconds.",
        ),
        errors.VersionRefused: Problem(
            "version_refused",
            503,
            "Version refused",
            "The version was fetched and cannot be served; `stagedoor status` says why. Mend it, or move the alias back.",
        ),
        errors.Overloaded: Problem(
            "overloaded", 503, "Overloaded", "Try again after `retry_after` seconds, with growing pauses between the attempts."
        ),
        errors.ModelFailed: Problem(
            "model_error",
            500,
            "The model failed",
            "The model raised on this input. Give the request id to the model's owner: the cause stands in the gateway's log.",
        ),
        errors.InvalidOutput: Problem(
            "invalid_output",
            500,
            "Invalid answer of the model",
            "The model answered what its signature does not allow, or NaN.",
        ),
        errors.PredictionTimeout: Problem(
            "prediction_timeout", 504, "Prediction timed out", "Send fewer rows, or raise STAGEDOOR_PREDICT_TIMEOUT_SECONDS."
        ),
        # --- a version that must not serve: seen as the reason of a refusal, hardly ever as an answer ---
        errors.MissingArtifact: Problem(
            "missing_artifact", 503, "File missing", "Log the model again with MLflow; a file that its MLmodel names is absent."
        ),
        errors.TamperedArtifact: Problem(
            "tampered_artifact", 503, "File altered", "The bytes differ from those first recorded. Register a new version."
        ),
        errors.UnsafeArtifact: Problem(
            "unsafe_artifact", 503, "Unsafe model files", "The model reaches outside its folder, or needs code we do not run."
        ),
        errors.UnsupportedFlavor: Problem(
            "unsupported_flavor", 503, "Unsupported flavor", "Log the model as ONNX or with a python_function flavor."
        ),
        errors.LoadFailed: Problem(
            "load_failed", 503, "Version does not load", "Try `mlflow.pyfunc.load_model` on it; then register a mended version."
        ),
        errors.LoadTimeout: Problem(
            "load_timeout", 503, "Version loads too slowly", "Make it smaller, or raise STAGEDOOR_PROBE_TIMEOUT_SECONDS."
        ),
        errors.OverBudget: Problem(
            "over_budget", 503, "Version too large", "Make it smaller, or raise STAGEDOOR_MEMORY_BUDGET_MIB."
        ),
        # --- MLflow could not tell: predictions go on ---
        errors.RegistryUnavailable: Problem(
            "registry_unavailable", 503, "Registry unavailable", "MLflow does not answer. What is live stays live."
        ),
        errors.RegistryGarbled: Problem(
            "registry_garbled", 502, "Registry garbled", "What answers at STAGEDOOR_MLFLOW_URL does not answer as MLflow does."
        ),
        errors.RegistryDenied: Problem(
            "registry_denied", 502, "Registry denied", "MLflow refuses our token. Set STAGEDOOR_MLFLOW_TOKEN to a good one."
        ),
        errors.RegistryNotFound: Problem(
            "registry_not_found", 404, "Not in the registry", "MLflow has no such model or version. Check the name in its UI."
        ),
        errors.RegistryConflict: Problem(
            "registry_conflict",
            409,
            "Changed in between",
            "Somebody else changed it first, and theirs stands. Look, and ask again.",
        ),
        # --- the control plane cannot go on: what is live stays live ---
        errors.LedgerUnavailable: Problem(
            "ledger_unavailable", 503, "Ledger unavailable", "Nothing is promoted until the ledger's database answers again."
        ),
        errors.LedgerTampered: Problem(
            "ledger_tampered", 500, "Ledger tampered with", "`stagedoor ledger verify` names the row. Restore it from a backup."
        ),
        errors.LeaseLost: Problem(
            "lease_lost",
            503,
            "Another controller leads",
            "Ask again; the controller that holds the lease does what is to be done.",
        ),
        errors.EvidenceUnavailable: Problem(
            "evidence_unavailable",
            503,
            "No evidence",
            "Neither the gateways nor Prometheus answer. The rollout holds until then.",
        ),
        # --- the rest ---
        errors.InvalidTag: Problem(
            "invalid_tag", 422, "Invalid tag", "Mend the tag in MLflow; until then the last well-formed one stays in force."
        ),
        errors.ConfigurationError: Problem(
            "configuration_error", 500, "Configuration error", "Mend the setting that the log names, and start again."
        ),
        errors.PortTaken: Problem("port_taken", 500, "Port taken", "Choose another port with the option that the log names."),
    }
)

BY_CODE: Final[Mapping[str, Problem]] = MappingProxyType({p.code: p for p in (*PROBLEMS.values(), INTERNAL)})


def problem_of(error: BaseException) -> Problem:
    """The row of `error`: of its class or the nearest base that has one; INTERNAL for anything that is not ours."""
    for kind in type(error).__mro__:
        row = PROBLEMS.get(kind)
        if row is not None:
            return row
    return INTERNAL


def code_of(error: BaseException) -> str:
    """The stable code of `error`; `internal_error` for anything that is not ours."""
    return problem_of(error).code
