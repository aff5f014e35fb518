"""`python -m serving.examine --folder DIR`: a report on one version as JSON. With `--serve`: one for each line of JSON read."""

import argparse
import json
import sys
import threading
from typing import IO, Any

from serving.examine.examining import Request, examine
from serving.loading.probe import stop_probing


def main() -> int:
    """One report on standard output, or as many as there are requests on standard input. Ends with the input."""
    options = _options()
    try:
        if options.serve:
            serve(sys.stdin, sys.stdout)
        else:
            asked = {name: value for name, value in vars(options).items() if value is not None}
            _write(sys.stdout, examine(Request.read(asked)))
    finally:
        stop_probing()
    return 0


def serve(requests: IO[str], reports: IO[str]) -> None:
    """Answer each line, `{"id": ..., "folder": ..., ...}`, by one line with the same `id`, in whatever order they get done.

    Each request has a thread of its own: a version that hangs holds up no other.
    """
    writing = threading.Lock()

    def answer(asked: dict[str, Any]) -> None:
        try:
            report = examine(Request.read(asked))
        except (KeyError, TypeError, ValueError) as error:
            report = {"digest": None, "error": f"The request cannot be read ({type(error).__name__})."}
        with writing:
            _write(reports, {"id": asked.get("id"), **report})

    for line in requests:
        asked = json.loads(line)
        threading.Thread(target=answer, args=(asked,), daemon=True).start()


def _write(reports: IO[str], report: dict[str, Any]) -> None:
    json.dump(report, reports)
    reports.write("\n")
    reports.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serving.examine", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="read requests from standard input, one JSON object a line")
    parser.add_argument("--folder", help="the version's files, with MLmodel among them")
    parser.add_argument("--golden", action="append", help="file of requests that it has to answer; may be given again")
    parser.add_argument("--tolerance", type=float, help="how far predictions may be from expected ones, as a fraction")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that loading and trying it may take")
    parser.add_argument("--memory", type=int, default=2048, help="MiB that it may take")
    parser.add_argument("--allow-pickle", action="store_true", help="load pickles, which can run any code")
    options = parser.parse_args()
    if not options.serve and not options.folder:
        parser.error("name the version's --folder")
    return options


if __name__ == "__main__":
    sys.exit(main())
