"""A custom runtime of MLServer over ONNX Runtime."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse
from onnx_session import Onnx


class OnnxRuntime(MLModel):
    """Answers requests of the Open Inference Protocol."""

    async def load(self):
        """Open the session."""
        self.onnx = Onnx()
        return True

    async def predict(self, payload):
        """One run for what MLServer has put together."""
        arrays = self.onnx(NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output(name, array) for name, array in zip(self.onnx.outputs, arrays, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
