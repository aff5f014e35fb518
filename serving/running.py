"""One version at work on one request. Whatever a model raises here is its own doing."""

from serving.checked import predict_checked
from serving.codecs import Decoded
from serving.drill import suffer
from serving.loading.version import Version
from serving.routing import Trial
from serving.values import Outputs


def run(version: Version, decoded: Decoded, trial: Trial | None = None) -> Outputs:
    """Predict and check the answer, after the fault of a drill if `trial` has one. Raises ModelFailed and InvalidOutput."""
    if trial is not None and trial.fault is not None:
        suffer(trial.fault, trial.slow_seconds)
    return predict_checked(version.predictor, version.signature.check_outputs, decoded.inputs)
