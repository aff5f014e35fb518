"""The verbs of `mlflow deployments`, over the REST of the controller and the gateway."""

from functools import cached_property, partial
from typing import Any, Final

from mlflow.deployments import BaseDeploymentClient, PredictionsResponse

from stagedoor import names
from stagedoor.domain.refs import ModelRef, check_name
from stagedoor.errors import MalformedName
from stagedoor.mlflow_deployments import progress, versions
from stagedoor.mlflow_deployments.door import Door, Json
from stagedoor.mlflow_deployments.failure import DeploymentFailed
from stagedoor.mlflow_deployments.inputs import invocations_body
from stagedoor.mlflow_deployments.watching import watch
from stagedoor.mlflow_deployments.wishes import OFF, Promotion, Split, removal

FLAVOR: Final = "stagedoor"
SHOWN: Final = (
    "stable",
    "phase",
    "candidate",
    "weight",
    "strategy",
    "who",
    "waiting_for",
    "epoch",
    "last",
    "gates",
    "problems",
)

Config = dict[str, Any] | None


class StagedoorDeploymentClient(BaseDeploymentClient):
    """A deployment is a registered model that is served; its name is the model's.

    Every failure is a DeploymentFailed, which is an MlflowException.
    """

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)  # type: ignore[no-untyped-call]
        self._door = Door.to(target_uri)

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: Config = None, endpoint: str | None = None
    ) -> Json:
        """Gate and promote a registered version; by default wait for the end, and raise if that is not success."""
        _plain(flavor, endpoint)
        wish = Promotion.of(config or {})
        version = versions.resolve(model_uri, _name(name), self._client)
        if wish.semver is not None:
            versions.tag_semver(name, version, wish.semver, self._client)
        body = {"version": version, "alias": wish.alias, "strategy": wish.strategy}
        asked = self._door.command(name, "promote", {key: value for key, value in body.items() if value is not None})
        judge = partial(_judge_promotion, version)
        # Another alias than the champion's starts no rollout: there is no end to wait for.
        if wish.patience.wait and wish.alias == names.CHAMPION:
            asked = watch(self._door, name, _moment(asked), wish.patience, judge)
        return _described(name, asked) | {"version": version}

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Config = None,
        endpoint: str | None = None,
    ) -> Json:
        """Promote another version, or split the traffic by hand (`traffic`, `sticky`)."""
        if model_uri is not None:
            return self.create_deployment(name, model_uri, flavor, config, endpoint)
        _plain(flavor, endpoint)
        wish = Split.of(config or {})
        body: Json = {"policy": wish.policy}
        if wish.sticky is not None:
            body["sticky"] = None if wish.sticky == OFF else wish.sticky
        asked = self._door.command(_name(name), "traffic", body)
        if wish.patience.wait:
            asked = watch(self._door, name, _moment(asked), wish.patience, progress.of_split)
        return _described(name, asked)

    def delete_deployment(self, name: str, config: Config = None, endpoint: str | None = None) -> None:
        """Take the model out of service, if `confirm` is true; nothing is deleted in MLflow."""
        _plain(None, endpoint)
        patience = removal(config or {})
        asked = self._door.command(_name(name), "withdraw")
        if patience.wait:
            watch(self._door, name, _moment(asked), patience, progress.of_removal)

    def list_deployments(self, endpoint: str | None = None) -> list[Json]:
        """Name, live version and phase of every model that the token may see."""
        _plain(None, endpoint)
        rows = self._door.control("GET", "/models").get("models") or []
        return [{"name": row.get("model"), "version": row.get("stable"), "phase": row.get("phase")} for row in rows]

    def get_deployment(self, name: str, endpoint: str | None = None) -> Json:
        """What the controller says of one model."""
        _plain(None, endpoint)
        return _described(name, self._door.model(_name(name)))

    def predict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,  # noqa: ANN401  a DataFrame, an array, a dict ...
        endpoint: str | None = None,
    ) -> PredictionsResponse:
        """Predict through the gateway; the name may carry an alias or a version, as in fraud@challenger."""
        _plain(None, endpoint)
        try:
            ref = ModelRef.parse(deployment_name or "")
        except MalformedName as error:
            raise DeploymentFailed(str(error)) from error
        answer = self._door.invoke(str(ref), invocations_body(inputs))
        if "predictions" not in answer:
            raise DeploymentFailed("The answer holds no predictions. Give the address of a Stagedoor gateway.")
        return PredictionsResponse(answer)

    @cached_property
    def _mlflow(self) -> Any:  # noqa: ANN401  MlflowClient
        return versions.mlflow_client(self._door.places.mlflow)

    def _client(self) -> Any:  # noqa: ANN401  MlflowClient
        return self._mlflow


def _judge_promotion(version: str, row: Json, asked_at: float, looks: int) -> progress.Progress:
    return progress.of_promotion(row, version, asked_at, looks)


def _plain(flavor: str | None, endpoint: str | None) -> None:
    if flavor is not None:
        raise DeploymentFailed("Stagedoor chooses the loader by the model's own flavours. Leave --flavor out.")
    if endpoint is not None:
        raise DeploymentFailed("Stagedoor knows no endpoints: every model answers at its own path. Leave --endpoint out.")


def _name(name: str) -> str:
    try:
        return check_name(name)
    except MalformedName as error:
        raise DeploymentFailed(str(error)) from error


def _moment(asked: Json) -> float:
    return float(asked.get("asked_at") or asked.get("updated_at") or 0)


def _described(name: str, row: Json) -> Json:
    return {"name": name, "flavor": FLAVOR, **{key: row[key] for key in SHOWN if key in row}}
