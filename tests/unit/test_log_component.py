"""Every line says which component wrote it, from whatever thread."""

import json
import subprocess
import sys
from pathlib import Path

CODE = """
import threading
from stagedoor.telemetry import configure_logging, get_logger
configure_logging("mlflow", "info")
get_logger().info("here")
thread = threading.Thread(target=lambda: get_logger(gateway="g").warning("there"))
thread.start()
thread.join(10)
get_logger().debug("hidden")
"""


def test_lines_of_all_threads_name_the_component() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={"PYTHONPATH": str(root / "platform")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["component"]) for line in lines] == [("here", "mlflow"), ("there", "mlflow")]
