"""A KServe model over ONNX Runtime."""

import logging
import os

import kserve
from onnx_session import Onnx


class Model(kserve.Model):
    """Answers requests of the Open Inference Protocol."""

    def __init__(self, name):
        super().__init__(name)
        self.onnx = Onnx()
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        """One run for one request."""
        arrays = self.onnx(payload.inputs[0].as_numpy())
        outputs = []
        for name, array in zip(self.onnx.outputs, arrays, strict=True):
            output = kserve.InferOutput(name, list(array.shape), "INT64" if array.dtype == "int64" else "FP32")
            output.set_data_from_numpy(array, binary_data=False)
            outputs.append(output)
        return kserve.InferResponse(payload.id or "", self.name, outputs)


if __name__ == "__main__":
    server = kserve.ModelServer()
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("kserve.trace").setLevel(logging.WARNING)
    server.start([Model(os.environ["PEER_WORKLOAD"])])
