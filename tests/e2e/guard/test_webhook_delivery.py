"""From an alias moved with a token, through MLflow's own webhook, to the controller's receiver. All real, on loopback."""

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from registry_hooks.webhooks import Delivery, Receiver, Registration, ensure_registered
from registry_hooks.webhooks.registration import EVENTS, NAME
from stagedoor.errors import TokenInvalid
from stagedoor.registry.mlflow_webhooks import MLflowWebhooks, says

from .servers import Server
from .test_moves import create, move

pytestmark = pytest.mark.slow

SECRET = "between MLflow and the controller"


@dataclass
class Door:
    """Where webhooks arrive; holds each delivery with what the receiver said."""

    url: str
    receiver: Receiver = field(default_factory=lambda: Receiver(SECRET.encode()))
    came: "queue.Queue[tuple[Delivery, bool | TokenInvalid]]" = field(default_factory=queue.Queue)

    def take(self, delivery: Delivery) -> None:
        try:
            self.came.put((delivery, self.receiver.accept(delivery, time.time())))
        except TokenInvalid as error:
            self.came.put((delivery, error))


@pytest.fixture
def door() -> Iterator[Door]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            door.take(Delivery.of({name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    door = Door(f"http://127.0.0.1:{server.server_port}/webhooks/mlflow")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield door
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def webhooks(server: Server) -> Iterator[MLflowWebhooks]:
    """MLflow's list, and nothing in it before or after."""
    it = MLflowWebhooks(server.url, timeout=20, token=lambda: server.token("admin"))
    yield it
    for webhook in it.all():
        it.delete(webhook.webhook_id)


def register(server: Server, url: str, secret: str = SECRET) -> bool:
    return ensure_registered(server.url, lambda: server.token("admin"), url, secret)


def test_a_moved_alias_arrives_signed_and_a_copy_of_it_counts_for_nothing(
    server: Server, door: Door, webhooks: MLflowWebhooks
) -> None:
    create(server, "hinted", 2)
    assert register(server, door.url)
    time.sleep(1.5)  # MLflow keeps its list for a second here
    assert move(server, "hinted", "2").ok
    while b"model_version_alias" not in (came := door.came.get(timeout=30))[0].body:
        assert came[1] is True
    delivery, verdict = came
    assert verdict is True
    assert b'"version": "2"' in delivery.body
    assert door.receiver.accept(delivery, time.time()) is False
    with pytest.raises(TokenInvalid):
        Receiver(b"another secret").accept(delivery, time.time())


def test_a_new_secret_is_told_to_mlflow(server: Server, door: Door, webhooks: MLflowWebhooks) -> None:
    create(server, "resecreted", 1)
    assert register(server, door.url, "the one before")
    assert register(server, door.url)
    time.sleep(1.5)
    assert move(server, "resecreted", "1").ok
    assert door.came.get(timeout=30)[1] is True


def test_many_controllers_at_once_leave_one_webhook(server: Server, webhooks: MLflowWebhooks) -> None:
    for attempt in range(3):
        start = threading.Barrier(6)

        def ask(number: int, start: threading.Barrier = start) -> bool:
            start.wait(30)
            return register(server, f"http://127.0.0.1:9/{number % 2}")

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(ask, range(6))), attempt
        (only,) = webhooks.all()
        assert (only.name, only.status) == (NAME, "ACTIVE")
        webhooks.delete(only.webhook_id)


def test_a_webhook_that_was_changed_or_doubled_is_mended_and_others_are_left_alone(
    server: Server, webhooks: MLflowWebhooks
) -> None:
    url = "http://127.0.0.1:9/ours"
    registration = Registration(server.url, lambda: server.token("admin"), url, SECRET)
    assert registration.ensure()
    (first,) = webhooks.all()
    webhooks.create("theirs", "http://127.0.0.1:9/theirs", frozenset({"model_version.created"}), "s")
    webhooks.create(NAME, "http://127.0.0.1:9/double", EVENTS, "s")
    webhooks.update(first.webhook_id, "http://127.0.0.1:9/moved", frozenset({"model_version.created"}), "s")
    assert registration.ensure()
    found = {webhook.name: webhook for webhook in webhooks.all()}
    assert found.keys() == {NAME, "theirs"}
    assert found[NAME].webhook_id == first.webhook_id
    assert says(found[NAME], url, EVENTS)
    assert found["theirs"].url.endswith("/theirs")


def test_nothing_is_said_twice_to_mlflow_and_the_secret_never_in_the_log(server: Server, webhooks: MLflowWebhooks) -> None:
    registration = Registration(server.url, lambda: server.token("admin"), "http://127.0.0.1:9/ours", SECRET)
    assert registration.ensure()
    listed = server.ask("GET", "/api/2.0/mlflow/webhooks", "viewer").json()
    assert "last_updated_timestamp" in listed["webhooks"][0]
    time.sleep(0.01)
    assert registration.ensure()
    assert server.ask("GET", "/api/2.0/mlflow/webhooks", "viewer").json() == listed
    assert SECRET not in server.log.read_text()


@pytest.mark.parametrize("case", ["an address that MLflow does not take", "a token without the right", "no MLflow"])
def test_where_mlflow_would_not_have_it_the_controller_goes_on(
    server: Server, webhooks: MLflowWebhooks, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow = "http://127.0.0.1:9" if case == "no MLflow" else server.url
    role = "viewer" if case == "a token without the right" else "admin"
    url = "ftp://127.0.0.1/x" if case == "an address that MLflow does not take" else "http://127.0.0.1:9/x"
    assert not ensure_registered(mlflow, lambda: server.token(role), url, SECRET)
    said = capsys.readouterr().out
    assert "webhook_not_registered" in said
    assert SECRET not in said
    assert webhooks.all() == ()
