"""The child of a compilation, and the process it is forked from: libraries and converters are imported once."""

import contextlib
import importlib
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, Final

from serving.loading.loaders.options import LoadOptions
from serving.loading.mlmodel import read_mlmodel
from serving.loading.probe_server import read_options, serve
from serving.loading.version import one_line
from stagedoor.errors import ArtifactError

NICENESS: Final = 10
"""A version serves as it is meanwhile: nobody waits for the compiler, and everybody for what serves."""


def compile_here(request: dict[str, Any]) -> dict[str, Any]:
    """Fill the folder `into` with the compiled form of the version in `folder`; `said` is the sentence about it.

    `made` is false where there is none.
    """
    warnings.simplefilter("ignore")  # converters and models warn about their own insides
    try:
        sentence = _compiled(request, read_options(request["options"]))
    except ArtifactError as error:
        return {"made": False, "said": error.reason}
    except Exception as error:  # noqa: BLE001  a library or a model may raise anything; none of it is the version's fault
        from serving.compiling.subject import Unsuited  # noqa: PLC0415  beside the converters

        said = str(error) if isinstance(error, Unsuited) else f"Compiling it raised {one_line(error)}. It is served as it is."
        return {"made": False, "said": said}
    return {"made": True, "said": sentence}


def _compiled(request: dict[str, Any], options: LoadOptions) -> str:
    from serving.compiling.proving import prove  # noqa: PLC0415  a missing converter is told like any other failure
    from serving.compiling.subject import read_subject  # noqa: PLC0415  beside it

    subject = read_subject(read_mlmodel(Path(request["folder"])), options)
    golden = [Path(path) for path in request["golden"]]
    about = {"source": request["source"], "tools": request["tools"]}
    return prove(subject, Path(request["into"]), options, golden, about).sentence


def main() -> None:
    """Started with the number of its socket and the kind of models to be ready for."""
    # Children share a machine with the gateway; and threads that wait for each other by spinning starve on a busy one.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.nice(NICENESS)
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("serving.compiling.proving")
    serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3], compile_here)
