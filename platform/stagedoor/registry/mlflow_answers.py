"""MLflow's answers, read as JSON and checked: from bytes to values, or RegistryGarbled. Pure."""

from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.errors import RegistryGarbled
from stagedoor.registry.port import Page

T = TypeVar("T", bound=BaseModel)

_NOT_FOUND: Final = "RESOURCE_DOES_NOT_EXIST"
_Number = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,18}$")]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class _Answer(BaseModel):
    """Absent fields are MLflow's way to write empty ones; unknown fields come with newer servers."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Tag(_Answer):
    key: str
    value: str = ""


class _Alias(_Answer):
    alias: _Text
    version: _Number


class _Version(_Answer):
    name: _Text
    version: _Number
    current_stage: str = "None"
    source: str = ""
    run_id: str = ""
    status: str = "READY"
    tags: tuple[_Tag, ...] = Field((), strict=False)


class _Model(_Answer):
    name: _Text
    creation_timestamp: Annotated[int, Field(strict=False)] = 0
    aliases: tuple[_Alias, ...] = Field((), strict=False)
    tags: tuple[_Tag, ...] = Field((), strict=False)
    latest_versions: tuple[_Version, ...] = Field((), strict=False)


class _Page(_Answer):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    registered_models: tuple[_Model, ...] = Field((), strict=False)
    next_page_token: str = ""


class _OneModel(_Answer):
    registered_model: _Model


class _OneVersion(_Answer):
    model_version: _Version


class _Metric(_Answer):
    key: str
    value: Annotated[float, Field(strict=False)] = 0.0


class _RunData(_Answer):
    metrics: tuple[_Metric, ...] = Field((), strict=False)


class _Run(_Answer):
    data: _RunData = _RunData()


class _OneRun(_Answer):
    run: _Run


class _Event(_Answer):
    entity: str
    action: str


class Webhook(_Answer):
    """One webhook as MLflow lists it; its secret is never shown."""

    webhook_id: _Text
    name: str = ""
    url: str = ""
    events: tuple[_Event, ...] = Field((), strict=False)
    status: str = ""
    creation_timestamp: Annotated[int, Field(strict=False)] = 0


class _Webhooks(_Answer):
    webhooks: tuple[Webhook, ...] = Field((), strict=False)
    next_page_token: str = ""


class _Uri(_Answer):
    artifact_uri: _Text


class _Error(_Answer):
    error_code: str = ""


class File(_Answer):
    """One entry of a folder of artifacts: its base name, and whether it is a folder itself."""

    path: _Text
    is_dir: bool = False


class _Files(_Answer):
    files: tuple[File, ...] = Field((), strict=False)


def _read(kind: type[T], body: bytes) -> T:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"][:4])
        raise RegistryGarbled(
            f"The registry's answer is not one of MLflow's{f' (at {where})' if where else ''}. "
            "Check that the MLflow address leads to an MLflow server."
        ) from None


def read_page(body: bytes) -> Page:
    """One page of a search. `{}` is an empty one."""
    page = _read(_Page, body)
    foreign = bool(page.model_extra) and "registered_models" not in page.model_fields_set
    if not page.registered_models and (page.next_page_token or foreign):
        raise RegistryGarbled("The registry's answer is not a page of models. Check that the address leads to MLflow.")
    models = sorted(map(_to_model, page.registered_models), key=lambda model: model.name)
    return Page(tuple(models), page.next_page_token)


def read_model(body: bytes) -> RegisteredModel:
    """One registered model."""
    return _to_model(_read(_OneModel, body).registered_model)


def read_version(body: bytes) -> ModelVersion:
    """One version; only one that MLflow calls READY is complete."""
    found = _read(_OneVersion, body).model_version
    tags = {tag.key: tag.value for tag in found.tags}
    return ModelVersion(found.name, found.version, found.source, found.run_id or None, tags, found.status == "READY")


def read_metrics(body: bytes) -> dict[str, float]:
    """The last values of one run's metrics. MLflow writes those that are no numbers as the texts NaN and Infinity."""
    return {metric.key: metric.value for metric in _read(_OneRun, body).run.data.metrics}


def read_webhooks(body: bytes) -> tuple[tuple[Webhook, ...], str]:
    """One page of webhooks, and the token of the next, empty after the last."""
    page = _read(_Webhooks, body)
    return page.webhooks, page.next_page_token


def read_uri(body: bytes) -> str:
    """Where the files of a version lie."""
    return _read(_Uri, body).artifact_uri


def read_files(body: bytes) -> tuple[File, ...]:
    """The entries of one folder."""
    return _read(_Files, body).files


def says_not_found(body: bytes) -> bool:
    """Whether an error body is MLflow's own word that there is no such thing."""
    try:
        return _Error.model_validate_json(body).error_code == _NOT_FOUND
    except ValidationError:
        return False


def _to_model(found: _Model) -> RegisteredModel:
    aliases = {alias.alias: alias.version for alias in found.aliases}
    stages = {version.current_stage: version.version for version in found.latest_versions}
    tags = {tag.key: tag.value for tag in found.tags}
    newest = max(stages.values(), key=int, default=None)
    return RegisteredModel(found.name, aliases, stages, tags, newest, found.creation_timestamp)
