"""Sound requests that could not be answered."""

from stagedoor.errors.base import StagedoorError


class Unserved(StagedoorError):
    """A sound request that could not be answered."""


class NotReady(Unserved):
    """No snapshot has been read yet."""

    retry_after = 1

    def __str__(self) -> str:
        return "The gateway has not read the registry yet. Try again shortly."


class VersionNotReady(Unserved):
    """The version `ref` exists, or may exist, and is still on its way."""

    retry_after = 1

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.ref = ref

    def __str__(self) -> str:
        return f"{self.ref} is being fetched and loaded. Try again shortly."


class VersionRefused(Unserved):
    """The version `ref` cannot be served; `code` is the error code of its failure (never a raw message)."""

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(ref, reason)
        self.ref = ref
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.ref} cannot be served: {self.reason}"


class Overloaded(Unserved):
    """More requests than room for them."""

    retry_after = 1

    def __str__(self) -> str:
        return "The gateway has more requests than it can take. Try again shortly."


class ModelFailed(Unserved):
    """The model raised. The cause goes to the log, never to the caller."""

    def __str__(self) -> str:
        return "The model failed on this input. The request id leads its owner to the cause in the log."


class InvalidOutput(Unserved):
    """The model answered something that cannot be an answer: not finite, or not of its own signature."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The model gave an invalid answer: {self.reason}."


class PredictionTimeout(Unserved):
    """The model did not answer within `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"The model did not answer within {self.seconds:g} seconds."
