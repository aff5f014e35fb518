"""One guarded MLflow server for all of this folder."""

import base64
import socket
from collections.abc import Iterator

import pytest

from stagedoor.settings import Settings

from .servers import Server, end_group, launch, wait_until_healthy

# What `stagedoor up` sets too: webhooks to this very machine, and a key that outlives the process.
WEBHOOKS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(b"k" * 32).decode(),
    "MLFLOW_WEBHOOK_CACHE_TTL": "1",
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings = Settings(state_dir=folder / "state")
    process = launch(folder, port, workers=1, STAGEDOOR_STATE_DIR=str(settings.state_dir), **WEBHOOKS)
    try:
        it = Server(f"http://127.0.0.1:{port}", settings, folder / "log")
        wait_until_healthy(it, process)
        yield it
    finally:
        end_group(process)
