"""`models:/fraud/8` and its kin, as one version of a registered model."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import mlflow
from mlflow.exceptions import MlflowException

from stagedoor.domain.refs import ModelRef, check_name
from stagedoor.errors import MalformedName
from stagedoor.mlflow_deployments.failure import RESOURCE_DOES_NOT_EXIST, DeploymentFailed
from stagedoor.names import TAG_SEMVER

T = TypeVar("T")

PREFIX: Final = "models:/"
LATEST: Final = "latest"
_FORM: Final = "Write the model as models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/latest: a registered version."

Client = Callable[[], Any]
"""Makes an MlflowClient, when one is needed."""


def resolve(uri: str, name: str, client: Client) -> str:
    """The number of the version that `uri` names now. Raises DeploymentFailed."""
    if not uri.startswith(PREFIX):
        raise DeploymentFailed(_FORM)
    path = uri.removeprefix(PREFIX)
    latest = path.endswith(f"/{LATEST}")
    try:
        ref = ModelRef(check_name(path.removesuffix(f"/{LATEST}"))) if latest else ModelRef.parse(path)
    except MalformedName as error:
        raise DeploymentFailed(f"{error} {_FORM}") from error
    if ref.name != name:
        raise DeploymentFailed(f"A deployment bears the name of its registered model. Say --name {ref.name}.")
    if ref.version is not None:
        return ref.version
    if ref.alias is not None:
        return _asked(lambda: str(client().get_model_version_by_alias(ref.name, ref.alias).version))
    if latest:
        return _asked(lambda: _newest(client(), ref.name))
    raise DeploymentFailed(_FORM)


def tag_semver(name: str, version: str, semver: str, client: Client) -> None:
    """Say which semantic version this is. Raises DeploymentFailed."""
    _asked(lambda: client().set_model_version_tag(name, version, TAG_SEMVER, semver))


def mlflow_client(address: str | None) -> Any:  # noqa: ANN401  MlflowClient, whose import takes its time
    """A client of the tracking server that the environment names, else of the one that Stagedoor follows."""
    from mlflow import MlflowClient  # noqa: PLC0415  as above

    chosen = address is None or mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    return MlflowClient() if chosen else MlflowClient(tracking_uri=address)


def _newest(client: Any, name: str) -> str:  # noqa: ANN401  as above
    versions = [int(found.version) for found in client.search_model_versions(f"name='{name}'")]
    if not versions:
        raise DeploymentFailed("The registered model has no version yet.", RESOURCE_DOES_NOT_EXIST)
    return str(max(versions))


def _asked(question: Callable[[], T]) -> T:
    try:
        return question()
    except DeploymentFailed:
        raise
    except MlflowException as error:
        raise DeploymentFailed(
            f"MLflow says: {error.message} Check MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN.", _code(error)
        ) from error


def _code(error: MlflowException) -> int:
    from mlflow.protos.databricks_pb2 import ErrorCode  # noqa: PLC0415  with mlflow's own

    return int(ErrorCode.Value(error.error_code))
