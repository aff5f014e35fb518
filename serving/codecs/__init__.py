"""The protocols, one file each, over one data plane."""

from collections.abc import Mapping
from typing import Final

from serving.codecs.mlflow_scoring import MlflowScoring
from serving.codecs.open_inference import OpenInference
from serving.codecs.simple import Simple
from serving.codecs.wire import Answer, Codec, Decoded, Encoded, Wire

CODECS: Final[Mapping[str, Codec]] = {"mlflow": MlflowScoring(), "v2": OpenInference(), "simple": Simple()}

__all__ = ["CODECS", "Answer", "Codec", "Decoded", "Encoded", "Wire"]
