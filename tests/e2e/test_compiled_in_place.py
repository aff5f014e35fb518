"""A scikit-learn model is promoted: it answers as it is, then by its graph, and no request in between fails."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Files, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Until = Callable[[Callable[[], Any], float, str], Any]


@pytest.fixture
def tripling(tmp_path: Path) -> Files:
    """A model of scikit-learn that multiplies its number by 3, as MLflow logs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.models import infer_signature
        from sklearn.linear_model import LinearRegression

        numbers = np.linspace(-10.0, 10.0, 50).reshape(-1, 1)
        model = LinearRegression().fit(numbers, 3 * numbers)
        folder = tmp_path / "tripling"
        signature = infer_signature(numbers, 3 * numbers)
        mlflow.sklearn.save_model(
            model, folder, signature=signature, input_example=numbers[:2], serialization_format="skops", pip_requirements=[]
        )
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forms(site: Site) -> list[bool | None]:
    """For each worker whether it serves the compiled form; None where nothing is loaded yet."""
    reports = [json.loads(path.read_bytes()) for path in site.paths.workers.glob("*.json")]
    loaded = [report["models"].get("tripling", {}).get("loaded", []) for report in reports]
    return [versions[0]["compiled"] if versions else None for versions in loaded]


def logged(site: Site) -> list[str]:
    """What the resolver has said of the model, in order."""
    lines = (site.paths.logs / "resolver.log").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line["event"] for line in found if line.get("model") == "tripling"]


def test_a_promoted_model_is_live_before_it_is_compiled_and_changes_its_form_without_a_gap(
    site: Site, tripling: Files, until: Until
) -> None:
    version = site.register("tripling", tripling)
    site.point("tripling", version)
    until(lambda: forms(site) and None not in forms(site), 150, "every worker serves the version")
    with site.trickle("tripling") as trickle:
        until(lambda: set(forms(site)) == {True}, 150, "the graph serves in every worker")
        count = len(trickle.answers)
        until(lambda: len(trickle.answers) > count + 20, 30, "some more answers")
    events = logged(site)
    assert events.index("route_changed") < events.index("version_compiled")
    assert events.count("route_changed") == 1
    assert {(status, served, round(product or 0.0, 6)) for status, served, product in trickle.kinds()} == {(200, "1", 3.0)}
