"""`python -m stagedoor.demo --mlflow URL`: train and register what is not there yet. `MLFLOW_TRACKING_TOKEN` is a promoter's.

Says one line on standard output for each step; warnings and tracebacks go to standard error. Exit code 0 when all is there.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Final

from stagedoor.demo.catalog import MODELS
from stagedoor.demo.standing import is_standing

# Logging models comes with advice for production that would only bewilder here.
_QUIET: Final = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def main() -> int:
    """Train, register, set the aliases, write the examples."""
    parser = argparse.ArgumentParser(prog="python -m stagedoor.demo", description="Train and register the demo's models.")
    parser.add_argument("--mlflow", required=True, help="address of the MLflow server")
    parser.add_argument("--examples", type=Path, help="folder to write request bodies to")
    arguments = parser.parse_args()
    if is_standing(arguments.mlflow, os.environ.get("MLFLOW_TRACKING_TOKEN"), MODELS, arguments.examples):
        print("all models are already registered", flush=True)  # noqa: T201  that is this command's output
        return 0
    os.environ.update(_QUIET)
    warnings.simplefilter("ignore")
    print("loading MLflow and scikit-learn", flush=True)  # noqa: T201  the same

    from stagedoor.demo.registering import register_all  # noqa: PLC0415  takes seconds to import

    register_all(arguments.mlflow, lambda sentence: print(sentence, flush=True))  # noqa: T201  the same
    if arguments.examples is not None:
        from stagedoor.demo.examples import write_examples  # noqa: PLC0415  the same

        write_examples(arguments.examples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
