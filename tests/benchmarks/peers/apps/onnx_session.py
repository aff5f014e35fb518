"""The ONNX file of the workload in ONNX Runtime, the same way in every server: one thread a session, no spinning.

These files run in the neighbours' own environments and import nothing of the project.
"""

import os

import numpy as np
import onnxruntime


class Onnx:
    """Rows in, one array for each output."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(os.environ["PEER_ONNX"], options, providers=["CPUExecutionProvider"])
        self.input = self._session.get_inputs()[0].name
        self.outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, rows):
        """Run float32 `[rows, n]`."""
        return self._session.run(None, {self.input: rows})

    def answer(self, arrays):
        """As JSON has it."""
        return {name: array.tolist() for name, array in zip(self.outputs, arrays, strict=True)}


def rows_of(body):
    """The rows of a server's own JSON."""
    return np.asarray(body["inputs"], np.float32)


BATCHED = os.environ.get("PEER_WORKLOAD") == "mlp"
MAX_BATCH = 64
BATCH_SECONDS = 0.0005
