"""The root of the tree."""

from typing import Self


class StagedoorError(Exception):
    """Root of the tree. Every leaf's message says what to do next."""

    def because_of(self, cause: BaseException) -> Self:
        """This error with `cause` beneath it.

        For modules that mypyc compiles, which leaves out what stands behind `from`:
        `raise ModelFailed().because_of(error) from error`.
        """
        self.__cause__ = cause
        return self
