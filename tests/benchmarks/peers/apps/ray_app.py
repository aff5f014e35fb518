"""A deployment of Ray Serve over ONNX Runtime."""

import os
import signal
import tempfile
import threading

import numpy as np
import ray
from onnx_session import BATCH_SECONDS, BATCHED, MAX_BATCH, Onnx, rows_of
from ray import serve
from ray.serve.schema import LoggingConfig

_REPLICAS = 2
_QUIET = LoggingConfig(enable_access_log=False, log_level="WARNING")
_STORE_BYTES = 200_000_000


@serve.deployment(
    num_replicas=_REPLICAS, max_ongoing_requests=4 * MAX_BATCH, ray_actor_options={"num_cpus": 0.5}, logging_config=_QUIET
)
class Plain:
    """A run for each request."""

    def __init__(self):
        self.onnx = Onnx()

    async def __call__(self, request):
        """Rows in, outputs by name."""
        return self.onnx.answer(self.onnx(rows_of(await request.json())))


@serve.deployment(
    num_replicas=_REPLICAS, max_ongoing_requests=4 * MAX_BATCH, ray_actor_options={"num_cpus": 0.5}, logging_config=_QUIET
)
class Batching:
    """What waits goes through the session together."""

    def __init__(self):
        self.onnx = Onnx()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_SECONDS)
    async def _run(self, rows):
        arrays = self.onnx(np.concatenate(rows))
        return [[array[row : row + 1] for array in arrays] for row in range(len(rows))]

    async def __call__(self, request):
        """One row in, outputs by name."""
        return self.onnx.answer(await self._run(rows_of(await request.json())))


def main():
    """Run until SIGTERM."""
    ended = threading.Event()
    # Sockets below this folder have long names, and a path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            _temp_dir=folder,
            object_store_memory=_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
        )
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: ended.set())
        serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])}, logging_config=_QUIET)
        serve.run((Batching if BATCHED else Plain).bind(), name="bench", route_prefix="/")
        ended.wait()
        ray.shutdown()


if __name__ == "__main__":
    main()
