"""Services of BentoML over ONNX Runtime."""

import bentoml
import numpy as np
from onnx_session import MAX_BATCH, Onnx, rows_of

_WORKERS = 2
_LOGGING = {"access": {"enabled": False}}


@bentoml.service(workers=_WORKERS, logging=_LOGGING)
class Plain:
    """A run for each request."""

    def __init__(self):
        self.onnx = Onnx()

    @bentoml.api
    def predict(self, inputs: list) -> dict:
        """Rows in, outputs by name."""
        return self.onnx.answer(self.onnx(rows_of({"inputs": inputs})))


@bentoml.service(workers=_WORKERS, logging=_LOGGING)
class Batching:
    """What waits goes through the session together; one output."""

    def __init__(self):
        self.onnx = Onnx()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000 * 60)
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Rows in, rows out."""
        return self.onnx(inputs.astype(np.float32, copy=False))[0]
