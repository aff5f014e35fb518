"""One frozen Settings, read once from the environment by this module alone.

`docs/configuration.md` is generated from the fields' descriptions.
"""

import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stagedoor.errors import ConfigurationError
from stagedoor.names import ENV_PREFIX

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
MIB = 1024 * 1024


class Settings(BaseSettings):
    """Every setting is `STAGEDOOR_` and the field's name in capitals. Lists are written with commas."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- where things are ---
    state_dir: Path = Field(Path(".stagedoor"), description="Folder for the snapshot, the model files and the signing secret.")
    mlflow_url: AnyHttpUrl = Field(AnyHttpUrl("http://127.0.0.1:5000"), description="The MLflow tracking server to follow.")
    mlflow_token: SecretStr | None = Field(
        None, description="Bearer token for MLflow. Without it one is issued with the signing secret, where there is one."
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(("*",), description="Patterns of registered models to serve.")
    default_model: str | None = Field(None, description="Model of `/predict` and `/model/info` when `?model=` is absent.")

    # --- following the registry ---
    poll_seconds: float = Field(1.0, ge=0.1, le=3600, description="Time between two reads of the registry.")
    registry_timeout_seconds: float = Field(5.0, gt=0, description="Time allowed for one answer of MLflow.")
    stale_after_seconds: float = Field(30.0, gt=0, description="Without news of MLflow for this long, `/health` says degraded.")
    probe_timeout_seconds: float = Field(60.0, gt=0, description="Time allowed for a new version to load and warm up.")
    memory_budget_mib: int = Field(2048, gt=0, description="Memory each worker may spend on loaded versions.")
    disk_budget_mib: int = Field(20480, gt=0, description="Disk space for model files; the least recently used go first.")
    webhook_secret: SecretStr | None = Field(None, description="Secret of MLflow webhooks, which then count as nudges.")
    nudge_urls: Annotated[tuple[AnyHttpUrl, ...], NoDecode] = Field(
        (), description="`/nudge` addresses of gateways, told by the guarded MLflow server that the registry has changed."
    )

    follow: Literal["aliases", "route"] = Field(
        "aliases",
        description="What the gateway serves: what the aliases name (`aliases`), or what a controller decided (`route`).",
    )
    node_name: str = Field("", description="Name of this machine among several gateways. By default its host name.")
    controller_url: AnyHttpUrl | None = Field(
        None, description="Where this gateway's controller answers, for those who ask it."
    )

    # --- deciding about promotions ---
    gateways: Annotated[tuple[AnyHttpUrl, ...], NoDecode] = Field(
        (AnyHttpUrl("http://127.0.0.1:8000"),), description="Addresses of the gateways that the controller watches."
    )
    ledger_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the ledger's database. By default SQLite in the state folder."
    )
    prometheus_url: AnyHttpUrl | None = Field(
        None, description="Prometheus server to take evidence from. By default the gateways' own counters are read."
    )
    rollout: str = Field("canary", description="Strategy of models without the tag `stagedoor.rollout`, written as there.")
    rollback_window_seconds: float = Field(
        3600.0, ge=0, description="A version that was live within this time returns at once, without a canary."
    )
    gate_timeout_seconds: float = Field(120.0, gt=0, description="Time allowed for a version to load and answer in the gates.")
    gate_memory_mib: int = Field(2048, gt=0, description="Memory a version may take in the gates.")
    webhook_url: AnyHttpUrl | None = Field(
        None, description="The controller's `/webhooks/mlflow` as MLflow reaches it; registered there at start."
    )
    notify_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Apprise addresses told of promotions, rollbacks and refusals (extra `notify`)."
    )

    # --- answering requests ---
    max_body_bytes: int = Field(16 * MIB, gt=0, description="Largest request body, in bytes.")
    max_rows: int = Field(100_000, gt=0, description="Most rows in one request.")
    predict_timeout_seconds: float = Field(30.0, gt=0, description="Time allowed for one prediction.")
    read_timeout_seconds: float = Field(
        10.0, gt=0, description="Time allowed for a request's head to arrive, and again for its body (large ones have more)."
    )
    load_wait_seconds: float = Field(20.0, ge=0, description="How long a request for a version not yet loaded waits for it.")
    threads: int = Field(4, gt=0, le=64, description="Threads per worker for models too slow for the event loop.")
    queue_limit: int = Field(256, gt=0, description="Requests per worker that may wait for a thread; more are refused.")
    queue_milliseconds: float = Field(
        10.0,
        gt=0,
        description="How long requests may wait for a busy worker, once more come than can be answered.",
    )
    model_queue_milliseconds: float = Field(
        5.0,
        gt=0,
        description="How long requests may wait for a model that runs in threads, once more come than can be answered.",
    )
    inline_below_microseconds: int = Field(
        300, ge=0, description="ONNX models whose warm prediction is quicker run in the event loop, without a thread."
    )
    metrics_need_token: bool = Field(default=False, description="Show `/metrics` only to tokens with the role viewer.")
    log_requests: bool = Field(default=True, description="Write one log line for each prediction.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line to write.")

    # --- what may be loaded ---
    allow_pickle: bool = Field(
        default=False,
        description="Load models stored as pickles, which can run any code while they load. "
        "ONNX, skops with known types, models from code and native formats need no pickle.",
    )

    # --- compiled promotion ---
    compile: bool = Field(
        default=True,
        description="Serve scikit-learn, XGBoost and LightGBM models as ONNX graphs that are proved equal (extra `compile`).",
    )
    compile_timeout_seconds: float = Field(
        120.0, gt=0, description="Time allowed for converting one version and proving the graph equal to it."
    )

    # --- ONNX Runtime ---
    onnx_providers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("CPUExecutionProvider",), description="Execution providers in order of preference, for models that name none."
    )
    onnx_intra_op_threads: int = Field(1, ge=0, description="Threads inside one ONNX operation; 0 lets ONNX Runtime choose.")

    # --- tokens ---
    token_secret: SecretStr | None = Field(
        None,
        description="HS256 signing secret, at least 32 bytes. Without any key setting one is generated in the state folder.",
    )
    token_previous_secret: SecretStr | None = Field(
        None, description="The HS256 secret before the last change: still accepted."
    )
    token_public_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="PEM files of public keys (RS256, ES256, EdDSA) that sign accepted tokens."
    )
    token_jwks_url: AnyHttpUrl | None = Field(None, description="JWKS address of an identity provider.")
    token_algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = Field(
        (), description="Accepted algorithms. By default those of the keys that are configured."
    )
    token_issuer: str = Field("stagedoor", min_length=1, description="Required `iss`.")
    token_audience: str = Field("stagedoor", min_length=1, description="Required `aud`.")
    token_leeway_seconds: int = Field(60, ge=0, le=300, description="Clock skew that is forgiven.")
    bad_tokens_per_minute: int = Field(20, gt=0, description="Bad tokens from one address before it gets 429.")

    @property
    def node(self) -> str:
        """The name of this machine among several gateways."""
        return self.node_name or socket.gethostname()

    @field_validator(
        "models",
        "nudge_urls",
        "gateways",
        "notify_urls",
        "onnx_providers",
        "token_public_keys",
        "token_algorithms",
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def load_settings(**overrides: object) -> Settings:
    """Read the environment. Raises ConfigurationError that names each bad variable and its rule, never its value.

    The same environment is read once: to do so again in a forked worker would copy 5 MB of pages, since it goes through all
    classes that there are.
    """
    if overrides:
        return _settings(**overrides)
    return _settings_of(frozenset((name, value) for name, value in os.environ.items() if name.upper().startswith(ENV_PREFIX)))


@lru_cache(maxsize=1)
def _settings_of(environment: frozenset[tuple[str, str]]) -> Settings:  # noqa: ARG001  a cache's key
    return _settings()


def _settings(**overrides: object) -> Settings:
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"{ENV_PREFIX}{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        ]
        raise ConfigurationError("These settings cannot be used. " + "; ".join(lines)) from None
