"""A Python model of Triton over ONNX Runtime: what waits goes through the session together."""

import numpy as np
import triton_python_backend_utils as pb_utils
from onnx_session import Onnx


class TritonPythonModel:
    """The names of tensors are the ONNX file's."""

    def initialize(self, args):
        """Open the session."""
        self.onnx = Onnx()

    def execute(self, requests):
        """One run for all requests, cut up again for their answers."""
        rows = [pb_utils.get_input_tensor_by_name(request, self.onnx.input).as_numpy() for request in requests]
        results = self.onnx(rows[0] if len(rows) == 1 else np.concatenate(rows))
        answers, start = [], 0
        for part in rows:
            end = start + len(part)
            tensors = [
                pb_utils.Tensor(name, result[start:end].reshape(len(part), -1))
                for name, result in zip(self.onnx.outputs, results, strict=True)
            ]
            answers.append(pb_utils.InferenceResponse(output_tensors=tensors))
            start = end
        return answers
