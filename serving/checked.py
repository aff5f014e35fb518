"""One prediction and the check of its answer. Whatever a model raises or answers is its own doing."""

from collections.abc import Callable

from serving.values import Inputs, Outputs, Predictor
from stagedoor.errors import InvalidOutput, ModelFailed, StagedoorError

Check = Callable[[Outputs, int], None]
"""Takes an answer and the number of rows that were asked; raises InvalidOutput (`Signature.check_outputs`)."""


def predict_checked(predictor: Predictor, check: Check, inputs: Inputs) -> Outputs:
    """Predict, and check the answer. Raises ModelFailed, InvalidOutput, and whatever of our own errors the predictor raises."""
    try:
        outputs = predictor.predict(inputs)
    except StagedoorError:
        raise
    except (Exception, SystemExit) as error:  # a model may raise anything; whatever it is, it is the model's doing
        raise ModelFailed().because_of(error) from error
    checked(check, outputs, inputs.rows)
    return outputs


def checked(check: Check, outputs: Outputs, rows: int) -> None:
    """Raise InvalidOutput unless `outputs` can be the answer to `rows` rows."""
    try:
        check(outputs, rows)
    except StagedoorError:
        raise
    except Exception as error:  # there is nothing that a model may not answer
        raise InvalidOutput("it is no answer that can be checked").because_of(error) from error
