"""Every name that leaves this process: aliases, tags, headers, claims, roles and metrics, each spelled once."""

from typing import Final

# Aliases and stages that carry meaning in MLflow.
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PRODUCTION: Final = "Production"
ARM_CANDIDATE: Final = "candidate"
"""Name of the arm on trial in a rollout: no alias, so that no name can be asked for it."""
STAGES: Final = ("None", "Staging", "Production", "Archived")

# Tags of a registered model: a person's control surface in the MLflow UI.
TAG_PREFIX: Final = "stagedoor."
TAG_TRAFFIC: Final = "stagedoor.traffic"
TAG_STICKY: Final = "stagedoor.sticky"
TAG_ROUTE: Final = "stagedoor.route"
TAG_ROLLOUT: Final = "stagedoor.rollout"
TAG_SHADOW: Final = "stagedoor.shadow"
TAG_SHIELD: Final = "stagedoor.shield"
TAG_APPROVAL: Final = "stagedoor.approval"
TAG_CONTROL: Final = "stagedoor.control"
TAG_DRILL: Final = "stagedoor.drill"
TAG_BATCH: Final = "stagedoor.batch"
TAG_CACHE: Final = "stagedoor.cache"
TAG_COMPILE: Final = "stagedoor.compile"
TAG_GATE_PREFIX: Final = "stagedoor.gate."
"""On a model: a gate's settings. On a version: what the gate found."""
TAG_BY_PREFIX: Final = "stagedoor.by."
"""Followed by an alias or stage: who moved it last, and when, as the guarded MLflow server saw it."""

# Tags of a model version: what Stagedoor found out about it.
TAG_SHA256: Final = "stagedoor.sha256"
TAG_COMPILED: Final = "stagedoor.compiled"
"""Whether the version is served as an ONNX graph of it: `onnx:` and the evidence, or `no:` and the reason."""
TAG_VERDICT: Final = "stagedoor.verdict"
TAG_APPROVED: Final = "stagedoor.approved"
TAG_SEMVER: Final = "semver"
TAG_SIGNATURE: Final = "stagedoor.signature"
"""An OpenSSF model signature (a Sigstore bundle as JSON), where it is not among the version's files."""

# Metadata of a logged model (`log_model(metadata=...)`).
METADATA_BATCH: Final = "stagedoor_batch"
"""true: each row is answered by itself, so those of several callers may be predicted with together."""

# Headers in and out.
HEADER_REQUEST_ID: Final = "X-Request-Id"
HEADER_MODEL_NAME: Final = "X-Model-Name"
HEADER_MODEL_VERSION: Final = "X-Model-Version"
HEADER_MODEL_ARM: Final = "X-Model-Arm"
HEADER_ROUTE_EPOCH: Final = "X-Route-Epoch"
HEADER_SHIELDED_FROM: Final = "X-Model-Shielded-From"
"""The version that failed, where another answered in its place."""
HEADER_CACHE: Final = "X-Stagedoor-Cache"
"""On answers of models with the tag stagedoor.cache: hit, miss, or joined with another request's."""
HEADER_COHORT: Final = "X-Stagedoor-Cohort"
"""Who sends it takes part in the drill of that name."""
HEADER_EXPECTED_VERSION: Final = "X-Stagedoor-Expected-Version"
"""On a move of an alias: the version it must still name; empty for none. Else the guarded MLflow server answers 412."""
HEADER_ON_BEHALF_OF: Final = "X-Stagedoor-On-Behalf-Of"
"""On a move by the controller: the subject who asked it to. Only an admin's token may say so."""

# Claims and roles of a token.
CLAIM_ROLES: Final = "roles"
CLAIM_MODELS: Final = "models"
ROLE_PREDICTOR: Final = "predictor"
ROLE_TESTER: Final = "tester"
ROLE_VIEWER: Final = "viewer"
ROLE_PROMOTER: Final = "promoter"
ROLE_ADMIN: Final = "admin"

# Metrics (Prometheus naming: unit and `_total` as suffix).
METRIC_ASSIGNED: Final = "stagedoor_assigned_total"
METRIC_PREDICTIONS: Final = "stagedoor_predictions_total"
METRIC_SLOW: Final = "stagedoor_slow_predictions_total"
METRIC_USERS: Final = "stagedoor_user_outcomes_total"
METRIC_SHADOW: Final = "stagedoor_shadow_predictions_total"
METRIC_SHIELDED: Final = "stagedoor_shielded_predictions_total"
METRIC_CACHE: Final = "stagedoor_cache_requests_total"
METRIC_CACHE_BYTES: Final = "stagedoor_cache_bytes"
METRIC_DURATION: Final = "stagedoor_prediction_duration_seconds"
METRIC_ERRORS: Final = "stagedoor_prediction_errors_total"
METRIC_REJECTED: Final = "stagedoor_rejected_requests_total"
METRIC_STALENESS: Final = "stagedoor_registry_staleness_seconds"
METRIC_INTENT_PROBLEMS: Final = "stagedoor_intent_problems"
METRIC_SNAPSHOT_SERIAL: Final = "stagedoor_snapshot_serial"
METRIC_LOADED_VERSIONS: Final = "stagedoor_loaded_versions"

FLAVOR_COMPILED: Final = "stagedoor_compiled"
"""In the MLmodel file of a compiled form in the store: a graph that answers as the model it was made from."""

# One prefix for every environment variable.
ENV_PREFIX: Final = "STAGEDOOR_"
