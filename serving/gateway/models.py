"""What models there are and what they take: `/models`, `/v2/models/...`, `/model/info`."""

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from serving.gateway.access import check_read, check_reader, current_principal, services
from serving.gateway.answers import json_answer
from serving.gateway.services import LiveModel, LoadedVersion, View
from serving.targets import INVOCATIONS, simple_ref
from serving.values import TensorSpec
from stagedoor import __version__
from stagedoor.auth.permissions import may_see
from stagedoor.domain.refs import ModelRef, check_name, check_version
from stagedoor.domain.snapshot import ModelEntry
from stagedoor.errors import ModelNotFound, NotReady
from stagedoor.problems import MethodNotAllowed

views = Blueprint("models", __name__)

DESCRIBE_SECONDS: Final = 2.0
READY_SECONDS: Final = 0.1
"""How long a description, or a question for readiness, waits for a version that is not in memory."""

PLATFORMS: Final = {"onnx": "onnx_onnxv1", "python_function": "mlflow_pyfunc"}
"""Names of the Open Inference Protocol for what runs a model."""


@views.get("/models")
def list_models() -> Response:
    """The models that this token may see, with what is live of each."""
    principal = current_principal()
    check_reader(principal)
    view: View = services().pool.view
    seen = [describe_model(live) for name, live in sorted(view.models.items()) if may_see(principal, name)]
    return json_answer({"models": seen})


@views.get("/models/<path:ref>")
def model(ref: str) -> Response:
    """One model, alias, version or stage: what it means now, and what it takes and gives."""
    if f"/{ref}".endswith(INVOCATIONS):
        raise MethodNotAllowed(("POST",))
    target = ModelRef.parse(ref)
    live = _visible(target)
    version = find_version(live, target, DESCRIBE_SECONDS)
    return json_answer(describe_model(live) | {"version": version.version} | describe_version(version))


@views.get("/model/info")
def model_info() -> Response:
    """The simple API's description of the default model, or of `?model=`."""
    target = simple_ref(request.query_string.decode("latin-1"), services().settings.default_model)
    version = find_version(_visible(target), target, DESCRIBE_SECONDS)
    described = describe_version(version)
    inputs, outputs = described["inputs"], described["outputs"]
    return json_answer(
        {
            "name": target.name,
            "version": version.version,
            "type": version.flavor,
            "input_shape": inputs[0]["shape"] if len(inputs) == 1 else [-1, len(inputs)],
            "output_shape": outputs[0]["shape"] if len(outputs) == 1 else [-1, len(outputs)],
            "inputs": inputs,
            "outputs": outputs,
        }
    )


@views.get("/v2")
def server_metadata() -> Response:
    """The Open Inference Protocol's server metadata."""
    return json_answer({"name": "stagedoor", "version": __version__, "extensions": ["binary_tensor_data"]})


@views.get("/v2/models/<name>")
@views.get("/v2/models/<name>/versions/<version>")
def metadata(name: str, version: str | None = None) -> Response:
    """The Open Inference Protocol's model metadata."""
    target = _open_inference_ref(name, version)
    live = _visible(target)
    loaded = find_version(live, target, DESCRIBE_SECONDS)
    described = describe_version(loaded)
    return json_answer(
        {
            "name": target.name,
            "versions": sorted(live.loaded, key=int),
            "platform": PLATFORMS.get(loaded.flavor, loaded.flavor),
            "inputs": described["inputs"],
            "outputs": described["outputs"],
        }
    )


@views.get("/v2/models/<name>/ready")
@views.get("/v2/models/<name>/versions/<version>/ready")
def model_ready(name: str, version: str | None = None) -> Response:
    """Whether a prediction would be answered at once. Raises VersionNotReady (503) where it would have to wait."""
    target = _open_inference_ref(name, version)
    loaded = find_version(_visible(target), target, READY_SECONDS)
    return json_answer({"name": target.name, "version": loaded.version, "ready": True})


@views.get("/v2/models/<name>/infer")
@views.get("/v2/models/<name>/versions/<version>/infer")
@views.get("/predict")
def only_post(name: str = "", version: str = "") -> Response:  # noqa: ARG001  the route's variables
    """Predictions are asked for by POST."""
    raise MethodNotAllowed(("POST",))


def _open_inference_ref(name: str, version: str | None) -> ModelRef:
    return ModelRef.parse(name) if version is None else ModelRef(check_name(name), version=check_version(version))


def _visible(target: ModelRef) -> LiveModel:
    """The model of `target` in this worker. Raises what a prediction with it would, before any look at what exists."""
    check_read(current_principal(), target)
    view: View = services().pool.view
    live: LiveModel | None = view.models.get(target.name)
    if live is None:
        raise NotReady if view.serial == 0 else ModelNotFound(str(target))
    return live


def find_version(live: LiveModel, target: ModelRef, wait_seconds: float) -> LoadedVersion:
    """The version that `target` means, loaded; a plain name means its stable arm.

    One that is not in memory is asked for, as a prediction would, and waited for a little: probes share these threads.
    Raises ModelNotFound, VersionNotReady and VersionRefused.
    """
    wanted = _wanted(live.entry, target)
    if wanted is None:
        raise ModelNotFound(str(target))
    loaded: LoadedVersion | None = live.loaded.get(wanted)
    if loaded is None:
        loaded = services().pool.load(target.name, wanted, min(wait_seconds, services().settings.load_wait_seconds))
    return loaded


def _wanted(entry: ModelEntry, target: ModelRef) -> str | None:
    if target.alias is not None:
        return entry.aliases.get(target.alias)
    if target.stage is not None:
        return entry.stages.get(target.stage)
    if target.version is not None:
        return target.version
    return entry.route.stable.version if entry.route else None


def describe_model(live: LiveModel) -> dict[str, Any]:
    """A model for people: its name, what its names mean, and how its traffic splits."""
    entry = live.entry
    return {
        "name": entry.name,
        "live": entry.route is not None,
        "aliases": dict(entry.aliases),
        "stages": dict(entry.stages),
        "route": describe_route(entry),
        "loaded": sorted(live.loaded, key=int),
    }


def describe_route(entry: ModelEntry) -> dict[str, Any] | None:
    """The effective split, weights in basis points; None where nothing is live.

    Of a drill all but its cohort is told: who knows that takes part in it.
    """
    route = entry.route
    if route is None:
        return None
    rolling, drill = route.rolling, route.drill
    return {
        "epoch": route.epoch,
        "reason": route.reason,
        "sticky": str(route.sticky) if route.sticky else None,
        "arms": [{"name": arm.name, "version": arm.version, "weight": arm.weight} for arm in route.arms],
        "issued": route.issued,
        "watched": route.watched,
        "slow_seconds": route.slow_seconds,
        "warm": list(route.warm),
        "shield": route.shield,
        "mirror": route.mirror,
        "rolling": {"version": rolling.version, "nodes": list(rolling.nodes)} if rolling else None,
        "drill": {"fault": drill.fault, "rate": drill.rate, "until": drill.until} if drill else None,
    }


def describe_version(version: LoadedVersion) -> dict[str, Any]:
    """A version for people: what runs it, what it takes and what it gives."""
    signature = version.signature
    return {
        "flavor": version.flavor,
        "inputs": [_spec(spec) for spec in signature.inputs],
        "outputs": [_spec(spec) for spec in signature.outputs],
    }


def _spec(spec: TensorSpec) -> Mapping[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
