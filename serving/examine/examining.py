"""Examining the files of one version from outside the process that loads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from serving.loading.loaders import LoadOptions
from serving.loading.probe import Errand, run_in_child
from stagedoor.digest import digest_of
from stagedoor.errors import ArtifactError, MissingArtifact
from stagedoor.settings import MIB

_ERRAND: Final = Errand(
    "serving.examine.child",
    "STAGEDOOR_GATE_TIMEOUT_SECONDS",
    "STAGEDOOR_GATE_MEMORY_MIB",
    max_report=32 * MIB,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to examine. `golden` are files of requests; `tolerance` is for their expected answers, as a fraction of 1."""

    folder: Path
    timeout: float
    options: LoadOptions
    golden: tuple[Path, ...] = ()
    tolerance: float = 1e-3

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """From JSON. Raises KeyError, TypeError or ValueError."""
        options = LoadOptions(
            onnx_providers=tuple(map(str, data.get("onnx_providers") or ("CPUExecutionProvider",))),
            onnx_threads=int(data.get("onnx_threads", 1)),
            allow_pickle=bool(data.get("allow_pickle", False)),
            budget_bytes=int(data["memory"]) * MIB,
        )
        golden = tuple(map(Path, data.get("golden", ())))
        return cls(Path(data["folder"]), float(data["timeout"]), options, golden, float(data.get("tolerance", 1e-3)))


def examine(request: Request) -> dict[str, Any]:
    """The report on a version: `digest` (None if its files cannot be read), and all that the child said.

    Whatever the version does, this returns: `failure` then says what it was. Takes `request.timeout` and a few seconds.
    """
    report: dict[str, Any] = {"digest": None}
    try:
        if not request.folder.is_dir():
            raise MissingArtifact("The version's folder is not there.")
        report["digest"] = digest_of(request.folder)
        golden = [str(path.resolve()) for path in request.golden]
        report |= run_in_child(
            _ERRAND, request.folder, request.options, request.timeout, golden=golden, tolerance=request.tolerance
        )
    except ArtifactError as error:
        report["failure"] = {"code": type(error).__name__, "reason": error.reason}
    except OSError as error:
        report["failure"] = {"code": "LoadFailed", "reason": f"The version's files cannot be read ({type(error).__name__})."}
    return report
