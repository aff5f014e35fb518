"""One version at work on one request. Whatever a model raises here is its own doing."""

from serving.checked import predict_checked
from serving.drill import suffer
from serving.exchange import Attempt
from serving.values import Outputs


def run(attempt: Attempt) -> Outputs:
    """Predict what has been read and check the answer, after the fault of a drill if there is one.

    Raises ModelFailed and InvalidOutput.
    """
    version, decoded, trial = attempt.version, attempt.decoded, attempt.choice.trial
    assert version is not None and decoded is not None  # noqa: PT018, S101  it has been read
    if trial is not None and trial.fault is not None:
        suffer(trial.fault, trial.slow_seconds)
    return predict_checked(version.predictor, version.signature.check_outputs, decoded.inputs)
