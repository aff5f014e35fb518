"""One prediction for several callers, each of whom gets what they would have got alone."""

from collections.abc import Callable, Sequence
from typing import Final

from serving.checked import Check, checked, predict_checked
from serving.rows import divide, join
from serving.values import Inputs, Outputs, Predictor
from stagedoor.errors import InvalidOutput, ModelFailed, StagedoorError

Answer = Outputs | Exception
Tell = Callable[[int, Answer], None]
"""Takes the place of a caller and what they get."""

MOST_DOUBTS: Final = 3
"""So many batches in a row that fail though nobody in them fails alone: the model does not take several callers at once."""


class Joint:
    """A predictor that answers several callers at once.

    A batch that fails is halved, and halved again, so that only whoever spoils it fails. Once the answers have turned out not
    to go by rows, or batches to fail for no caller's fault, `one_by_one` is set, and stays. Safe to use from several threads.
    """

    __slots__ = ("_check", "_doubts", "_predictor", "one_by_one")

    def __init__(self, predictor: Predictor, check: Check) -> None:
        self._predictor = predictor
        self._check = check
        self._doubts = 0
        self.one_by_one = False

    def answer(self, parts: Sequence[Inputs], tell: Tell) -> None:
        """Tell every caller exactly once. More than one of `parts` must be of one kind (`serving.rows.kind_of`).

        Never raises, unless `tell` does.
        """
        if len(parts) == 1:
            tell(0, self.alone(parts[0]))
        elif self._together(parts, 0, tell):
            self._doubts = 0
        elif self._halves(parts, 0, tell) == 0 and not self.one_by_one:
            self._doubts += 1
            self.one_by_one = self._doubts >= MOST_DOUBTS

    def alone(self, inputs: Inputs) -> Answer:
        """What one caller gets, from the predictor as it is."""
        try:
            return predict_checked(self._predictor, self._check, inputs)
        except StagedoorError as error:
            return error
        except BaseException as error:  # noqa: BLE001  nobody above this thread would take it, and somebody waits
            failed = ModelFailed()
            failed.__cause__ = error
            return failed

    def _spread(self, parts: Sequence[Inputs], first: int, tell: Tell) -> int:
        """Answer a part of a batch that has failed as a whole; the number of callers who failed alone."""
        if len(parts) == 1:
            return self._single(parts[0], first, tell)
        return 0 if self._together(parts, first, tell) else self._halves(parts, first, tell)

    def _halves(self, parts: Sequence[Inputs], first: int, tell: Tell) -> int:
        if self.one_by_one:
            return sum([self._single(part, at, tell) for at, part in enumerate(parts, first)])
        half = len(parts) // 2
        return self._spread(parts[:half], first, tell) + self._spread(parts[half:], first + half, tell)

    def _single(self, inputs: Inputs, at: int, tell: Tell) -> int:
        answer = self.alone(inputs)
        tell(at, answer)
        return isinstance(answer, Exception)

    def _together(self, parts: Sequence[Inputs], first: int, tell: Tell) -> bool:
        """Answer all of `parts` with one prediction; False, and nobody told, where that fails."""
        if self.one_by_one:
            return False
        sizes = [part.rows for part in parts]
        try:
            outputs = self._predictor.predict(join(parts))
            shares = divide(outputs, sizes)
            if shares is None:
                self.one_by_one = True
                return False
            sound = self._is_sound(outputs, sum(sizes))
        except BaseException:  # noqa: BLE001  it is raised again for whoever caused it, when they are alone
            return False
        if sound:
            for at, share in enumerate(shares, first):
                tell(at, share)
        else:
            self._tell_sound(parts, shares, first, tell)
        return True

    def _tell_sound(self, parts: Sequence[Inputs], shares: Sequence[Outputs], first: int, tell: Tell) -> None:
        """Rows are kept apart, so one caller's invalid answer is no reason to ask again for the others."""
        for at, (part, share) in enumerate(zip(parts, shares, strict=True), first):
            tell(at, share if self._is_sound(share, part.rows) else self.alone(part))

    def _is_sound(self, outputs: Outputs, rows: int) -> bool:
        try:
            checked(self._check, outputs, rows)
        except InvalidOutput:
            return False
        return True
