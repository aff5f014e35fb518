"""Predict paths, read once for all transports."""

import pytest

from serving.targets import Target, is_predict_path, parse_target
from stagedoor.domain.refs import ModelRef
from stagedoor.errors import InvalidRequest, MalformedName

SOUND = [
    ("/models/fraud/invocations", "", Target("mlflow", ModelRef("fraud"))),
    ("/models/fraud@champion/invocations", "", Target("mlflow", ModelRef("fraud", alias="champion"))),
    ("/models/fraud%40champion/invocations", "", Target("mlflow", ModelRef("fraud", alias="champion"))),
    ("/models/fraud/7/invocations", "", Target("mlflow", ModelRef("fraud", version="7"))),
    ("/models/fraud/production/invocations", "", Target("mlflow", ModelRef("fraud", stage="Production"))),
    ("/models/my%20model/invocations", "", Target("mlflow", ModelRef("my model"))),
    ("/v2/models/fraud/infer", "", Target("v2", ModelRef("fraud"))),
    ("/v2/models/fraud/versions/7/infer", "", Target("v2", ModelRef("fraud", version="7"))),
    ("/predict", "model=fraud", Target("simple", ModelRef("fraud"))),
    ("/predict", "model=fraud/7", Target("simple", ModelRef("fraud", version="7"))),
    ("/predict", "", Target("simple", ModelRef("house"))),
]


@pytest.mark.parametrize(("path", "query", "target"), SOUND)
def test_a_predict_path_says_protocol_and_model(path: str, query: str, target: Target) -> None:
    assert is_predict_path(path)
    assert parse_target(path, query, "house") == target


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../x",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "a%00b",
        "C:",
        "x" * 300,
        "a%3Fx",
        "a%23b",
        "a@b@c",
        "models:%2Fx",
        "a%2Fb",
        "%ff",
        "fraud/01",
        "fraud/-1",
        "fraud/+1",
        "fraud/9223372036854775808",
        "fraud/latest",
        "fraud@latest",
        "fraud@v3",
        "fraud/7/8",
        "",
    ],
)
def test_a_name_that_can_name_nothing_is_malformed(name: str) -> None:
    with pytest.raises(MalformedName):
        parse_target(f"/models/{name}/invocations", "", None)


@pytest.mark.parametrize("path", ["/v2/models/a/b/infer", "/v2/models/a/versions/x/infer", "/v2/models/a/versions/7/8/infer"])
def test_an_open_inference_path_takes_a_name_and_perhaps_a_version(path: str) -> None:
    with pytest.raises(MalformedName):
        parse_target(path, "", None)


def test_the_simple_api_needs_a_model_from_somewhere() -> None:
    with pytest.raises(InvalidRequest, match="model=NAME"):
        parse_target("/predict", "", None)


def test_two_models_in_one_query_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than once"):
        parse_target("/predict", "model=a&model=b", None)


@pytest.mark.parametrize("path", ["/health", "/v2/models/fraud", "/v2/models/fraud/ready", "/models/fraud", "/predict/", "/"])
def test_other_paths_are_left_to_flask(path: str) -> None:
    assert not is_predict_path(path)
