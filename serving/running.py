"""One version at work on one request. Whatever a model raises here is its own doing."""

from serving.codecs import Decoded
from serving.drill import suffer
from serving.loading.version import Version
from serving.routing import Trial
from serving.values import Outputs
from stagedoor.errors import InvalidOutput, ModelFailed, StagedoorError


def run(version: Version, decoded: Decoded, trial: Trial | None = None) -> Outputs:
    """Predict and check the answer, after the fault of a drill if `trial` has one. Raises ModelFailed and InvalidOutput."""
    if trial is not None and trial.fault is not None:
        suffer(trial.fault, trial.slow_seconds)
    try:
        outputs = version.predictor.predict(decoded.inputs)
    except StagedoorError:
        raise
    except (Exception, SystemExit) as error:  # a model may raise anything; whatever it is, it is the model's doing
        raise ModelFailed from error
    try:
        version.signature.check_outputs(outputs, decoded.inputs.rows)
    except StagedoorError:
        raise
    except Exception as error:  # nor is there anything that a model may not answer
        raise InvalidOutput("it is no answer that can be checked") from error
    return outputs
