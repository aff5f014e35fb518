"""Graphs that are nearly right are told from graphs that are right."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from .conftest import OPTIONS, Promote, Save, labels, table

pytestmark = [pytest.mark.slow]


def histograms(data: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=4).fit(data, labels(data, [0, 1]))


def linear(data: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(data, labels(data, [0, 1]))


def graph_changed(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    from serving.compiling import proving

    build = proving.build

    def changed(*given: Any) -> Any:
        model = build(*given)
        change(model)
        return model

    monkeypatch.setattr(proving, "build", changed)


def move_thresholds(model: Any) -> None:
    """By one step of double precision, as rounding would at the least."""
    from onnx import numpy_helper

    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_splits":
                splits = numpy_helper.to_array(attribute.t)
                attribute.t.CopyFrom(numpy_helper.from_array(np.nextafter(splits, np.inf), "splits"))


def round_thresholds(model: Any) -> None:
    from onnx import numpy_helper

    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_splits":
                splits = numpy_helper.to_array(attribute.t).astype(np.float32).astype(np.float64)
                attribute.t.CopyFrom(numpy_helper.from_array(splits, "splits"))


def send_missing_the_other_way(model: Any) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_missing_value_tracks_true":
                attribute.ints[:] = [1 - way for way in attribute.ints]


@pytest.mark.parametrize("change", [move_thresholds, round_thresholds, send_missing_the_other_way])
def test_trees_that_are_off_by_a_rounding_step_are_found_out(
    monkeypatch: pytest.MonkeyPatch, promote: Promote, change: Any
) -> None:
    graph_changed(monkeypatch, change)
    promoted = promote(histograms(table()), table())
    assert not promoted.made
    assert promoted.said.startswith("No graph is equal to it: in double precision ")


def test_what_the_model_refuses_is_refused_and_what_it_takes_is_taken(promote: Promote) -> None:
    data = table()
    for model, takes in ((histograms(data), True), (linear(data), False)):
        promoted = promote(model, data)
        assert promoted.made, promoted.said
        native, compiled = promoted.versions()
        row = {name: np.array([10.0]) for name in data.columns} | {"age": np.array([np.nan])}
        inputs = native.signature.form.frame(row, 10)
        if takes:
            assert (native.predictor.predict(inputs).arrays[""] == compiled.predictor.predict(inputs).arrays[""]).all()
        else:
            for version in (native, compiled):
                with pytest.raises(ValueError, match="NaN"):
                    version.predictor.predict(inputs)


def people(rows: int = 200) -> pd.DataFrame:
    chance = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": chance.integers(18, 90, rows),
            "income": np.where(chance.random(rows) < 0.2, np.nan, chance.normal(3e4, 1e4, rows)),
            "city": chance.choice(["Ulm", "Bonn", "Kiel"], rows).astype(object),
            "member": chance.random(rows) < 0.5,
        }
    )


def mixed(unknown: str, data: pd.DataFrame) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    by_column = ColumnTransformer(
        [
            ("numbers", numbers, ["age", "income"]),
            ("city", OneHotEncoder(handle_unknown=unknown), ["city"]),
            ("rest", "passthrough", ["member"]),
        ]
    )
    target = np.where((data["income"].fillna(3e4) > 3e4) ^ (data["city"] == "Ulm"), "yes", "no")
    return make_pipeline(by_column, LogisticRegression()).fit(data, target)


@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_columns_of_several_types_with_missing_values_and_unseen_categories(promote: Promote, unknown: str) -> None:
    data = people()
    promoted = promote(mixed(unknown, data), data)
    assert promoted.made, promoted.said
    native, compiled = promoted.versions()
    again = people(50)
    inputs = native.signature.form.frame({name: again[name].to_numpy() for name in again.columns}, 100)
    assert native.predictor.predict(inputs).arrays[""].tolist() == compiled.predictor.predict(inputs).arrays[""].tolist()
    strange = {name: again[name].to_numpy()[:1] for name in again.columns} | {"city": np.array(["Jena"], object)}
    inputs = native.signature.form.frame(strange, 100)
    if unknown == "error":
        for version in (native, compiled):
            with pytest.raises(ValueError, match="categor"):
                version.predictor.predict(inputs)
    else:
        assert native.predictor.predict(inputs).arrays[""].tolist() == compiled.predictor.predict(inputs).arrays[""].tolist()


def test_a_tensor_of_single_precision_keeps_its_form(promote: Promote) -> None:
    data = table().to_numpy().astype(np.float32)
    from sklearn.linear_model import LogisticRegression

    promoted = promote(LogisticRegression().fit(data, labels(table(), [0, 1])), data)
    assert promoted.made, promoted.said
    native, compiled = promoted.versions()
    inputs = native.signature.form.tensors({"": data[:7]}, 10)
    assert native.predictor.predict(inputs).arrays[""].tolist() == compiled.predictor.predict(inputs).arrays[""].tolist()


def test_golden_requests_of_the_version_and_of_the_operator_are_compared(save: Save, tmp_path: Path) -> None:
    from serving.compiling.given import given_inputs
    from serving.loading.mlmodel import read_mlmodel
    from serving.loading.version import load_version

    folder = save(linear(table()), table())
    body = {"dataframe_split": table(11).to_dict(orient="split", index=False)}
    (folder / "golden.json").write_text(json.dumps([{"request": body, "predictions": None}]))
    (tmp_path / "m.jsonl").write_text(f"{json.dumps(body)}\n{json.dumps({'unreadable': 1})}\n")
    (tmp_path / "broken.json").write_text("[")
    version = load_version(folder, "m", "1", "d", OPTIONS)
    files = [tmp_path / "m.jsonl", tmp_path / "broken.json", tmp_path / "absent.json"]
    given = given_inputs(read_mlmodel(folder), version.signature, 100, files)
    assert [inputs.rows for inputs in given] == [2, 11, 11]


def test_a_graph_that_fails_on_a_given_request_is_found_out(monkeypatch: pytest.MonkeyPatch, promote: Promote) -> None:
    from serving.compiling import proving

    answers = proving.Asked.answer

    def wrong(self: Any, inputs: Any) -> Any:
        found = answers(self, inputs)
        return 1 - found if inputs.rows == 2 and type(self.predictor).__name__ == "CompiledPredictor" else found

    monkeypatch.setattr(proving.Asked, "answer", wrong)
    promoted = promote(linear(table()), table())
    assert not promoted.made
    assert "labels differ on 2 of 2 rows of given requests" in promoted.said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signature": False}, "It has no signature"),
        ({"pyfunc_predict_fn": "predict_log_proba"}, "It answers by predict_log_proba"),
    ],
)
def test_the_reason_says_what_to_do(promote: Promote, changes: dict[str, Any], said: str) -> None:
    promoted = promote(linear(table()), table(), **changes)
    assert (promoted.made, promoted.said.startswith(said)) == (False, True)


@pytest.mark.parametrize(
    "beyond",
    [{"add_indicator": True}, {"missing_values": -1.0}, {"keep_empty_features": False}],
    ids=lambda given: next(iter(given)),
)
def test_an_imputer_that_does_more_than_fill_nan_says_what_to_do(promote: Promote, beyond: dict[str, Any]) -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    data = table()
    if "keep_empty_features" in beyond:
        data["weight"] = np.nan
    else:
        data.loc[::9, "age"] = beyond.get("missing_values", np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a column that is empty
        model = make_pipeline(SimpleImputer(**beyond), LogisticRegression()).fit(data, labels(table(), [0, 1]))
        promoted = promote(model, data)
    assert (promoted.made, promoted.said.partition(";")[0]) == (False, "Its SimpleImputer does more than fill NaN with numbers")
    assert promoted.said.endswith("It is served as it is.")
