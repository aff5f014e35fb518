"""A LitServe server over ONNX Runtime."""

import os

import litserve
import numpy as np
from onnx_session import BATCH_SECONDS, BATCHED, MAX_BATCH, Onnx, rows_of

_WORKERS = 2


class Api(litserve.LitAPI):
    """Where requests are batched, one row each goes in and comes out."""

    def setup(self, device):
        """Open the session."""
        self.onnx = Onnx()

    def decode_request(self, request):
        """The rows."""
        return rows_of(request)

    def batch(self, inputs):
        """All rows in one array."""
        return np.concatenate(inputs)

    def predict(self, rows):
        """An array for each output."""
        return self.onnx(rows)

    def unbatch(self, output):
        """One row of each output."""
        return [[array[row : row + 1] for array in output] for row in range(len(output[0]))]

    def encode_response(self, output):
        """JSON."""
        return self.onnx.answer(output)


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=BATCH_SECONDS) if BATCHED else Api()
    # Its own advice above a hundred requests a second.
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=_WORKERS, fast_queue=True)
    server.run(host="127.0.0.1", port=int(os.environ["PEER_PORT"]), generate_client_file=False, log_level="warning")
