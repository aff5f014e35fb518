"""What pyproject.toml cannot say: with STAGEDOOR_COMPILE=1 the modules of the hot path are compiled to C by mypyc.

They are the same modules, with their types taken at their word. A checkout stays as it is: compiled ones belong into a wheel
(`make wheel`), where no source can be newer than what was made of it.
"""

import os
import sys

from setuptools import setup

HOT_PATH = (
    "serving/books.py",
    "serving/checked.py",
    "serving/codecs/json_body.py",
    "serving/codecs/mlflow_scoring.py",
    "serving/codecs/render.py",
    "serving/crew.py",
    "serving/entrance.py",
    "serving/exchange.py",
    "serving/http.py",
    "serving/lane/deadline.py",
    "serving/lane/turn.py",
    "serving/lane/wire.py",
    "serving/plane.py",
    "serving/recorder.py",
    "serving/records.py",
    "serving/request_log.py",
    "serving/routing.py",
    "serving/running.py",
    "serving/schema/form.py",
    "serving/schema/kinds.py",
    "serving/schema/numeric.py",
    "serving/schema/shapes.py",
    "serving/schema/tensors.py",
    "serving/tally.py",
)
# Not the project's own settings: an isolated build has neither their plugins nor libraries. `make lint` checks the types.
OPTIONS = (
    "--config-file=",
    "--explicit-package-bases",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--no-site-packages",
)


def compiled() -> list[object]:
    """The extension modules, if they are asked for; an editable install would leave them in the checkout."""
    if os.environ.get("STAGEDOOR_COMPILE") != "1" or "editable_wheel" in sys.argv:
        return []
    from mypyc.build import mypycify  # noqa: PLC0415  it takes a while, and most builds are without

    os.environ["MYPYPATH"] = "platform"
    return list(mypycify([*OPTIONS, *HOT_PATH], opt_level="3", debug_level="0"))


setup(ext_modules=compiled())
