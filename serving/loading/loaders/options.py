"""What a loader needs to know besides the model's own files."""

from dataclasses import dataclass
from typing import Self

from stagedoor.settings import MIB, Settings


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Choices of the operator. Plain values, so that they travel to a probing process as JSON.

    `onnx_providers`: execution providers for ONNX models that name none. `onnx_threads`: threads inside one ONNX
    operation, 0 lets ONNX Runtime choose. `allow_pickle`: whether pickles may be loaded. `budget_bytes`: most memory one
    version may use. `inline_below_microseconds`: versions that answer quicker are called quick. `max_rows`: as for requests.
    """

    onnx_providers: tuple[str, ...] = ("CPUExecutionProvider",)
    onnx_threads: int = 1
    allow_pickle: bool = False
    budget_bytes: int = 2048 * MIB
    inline_below_microseconds: int = 300
    max_rows: int = 100_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The options that `settings` ask for."""
        return cls(
            settings.onnx_providers,
            settings.onnx_intra_op_threads,
            settings.allow_pickle,
            settings.memory_budget_mib * MIB,
            settings.inline_below_microseconds,
            settings.max_rows,
        )
