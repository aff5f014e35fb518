"""/metrics: gauges of the machine, bounded series, and what a token has to do with it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from stagedoor import names


def scrape(gateway: Any, path: str = "/metrics") -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(gateway.client.get(path).text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_the_state_of_the_machine_is_read_at_each_scrape(gateway: Any) -> None:
    gateway.beat(succeeded_ago=45.0)
    found = scrape(gateway)
    assert found[names.METRIC_SNAPSHOT_SERIAL] == {(): 7.0}
    assert 44 < found[names.METRIC_STALENESS][()] < 60
    assert found[names.METRIC_INTENT_PROBLEMS] == {(("model", "fraud"),): 1.0, (("model", "payroll"),): 1.0}
    assert found[names.METRIC_LOADED_VERSIONS] == {(("model", "fraud"),): 2.0}
    gateway.beat(succeeded_ago=None)
    assert scrape(gateway)[names.METRIC_STALENESS] == {(): float("inf")}


def test_what_callers_send_never_makes_a_new_series(gateway: Any) -> None:
    token = gateway.token("admin")

    def ask(number: int) -> None:
        gateway.client.get(f"/nowhere/{number}")
        gateway.client.get(f"/models/m{number}", headers=token)
        gateway.client.post(f"/models/m{number}/invocations", data=b"{}", headers=token)
        gateway.client.post(f"/v2/models/m{number}/infer", data=b"{}", headers=token)
        gateway.client.get(f"/problems/p{number}")
        gateway.client.open("/livez", method=f"BREW{number}")
        gateway.client.get("/livez", headers={"X-Request-Id": f"r{number}", "Host": f"h{number}"})

    def series() -> set[tuple[str, Any]]:
        return {(name, labels) for name, samples in scrape(gateway).items() for labels in samples}

    ask(0)
    scrape(gateway)
    before = series()
    for number in range(1, 20):
        ask(number)
    assert series() == before


def test_flasks_own_requests_are_counted_by_rule_and_predictions_are_not(gateway: Any) -> None:
    gateway.client.get("/models/fraud", headers=gateway.token("admin"))
    gateway.client.get("/nowhere")
    gateway.client.post("/predict", data=b"{}")
    found = scrape(gateway)
    rules = {dict(labels)["url_rule"] for labels in found["stagedoor_gateway_http_request_duration_seconds_count"]}
    assert rules == {"/models/<path:ref>"}
    assert found[names.METRIC_REJECTED][(("code", "route_not_found"),)] >= 1


def test_names_restrict_what_is_shown(gateway: Any) -> None:
    assert set(scrape(gateway, f"/metrics?name[]={names.METRIC_SNAPSHOT_SERIAL}")) == {names.METRIC_SNAPSHOT_SERIAL}


def test_what_waits_to_be_counted_is_written_out_before_a_scrape(gateway: Any) -> None:
    from serving.gateway.app import create_app
    from serving.gateway.services import Services

    calls: list[int] = []
    old = gateway.services
    services = Services(old.settings, old.authenticator, old.pool, old.plane, old.paths, lambda: calls.append(1))
    create_app(services).test_client().get("/metrics")
    assert calls == [1]


def test_metrics_can_be_closed_to_those_without_a_token(make: Callable[..., Any]) -> None:
    gateway = make(metrics_need_token=True)
    assert gateway.client.get("/metrics").status_code == 401
    assert gateway.client.get("/metrics", headers=gateway.token("predictor")).status_code == 403
    assert gateway.client.get("/metrics", headers=gateway.token("viewer")).status_code == 200


def test_the_openmetrics_form_is_given_to_those_who_ask_for_it(gateway: Any) -> None:
    answer = gateway.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


CHILD = """
import sys
sys.path[:0] = ["platform", "."]
from serving import metrics
metrics.REJECTED.labels("overloaded").inc(int(sys.argv[1]))
"""

READER = """
import sys
from pathlib import Path
sys.path[:0] = ["platform", "."]
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings
from serving.gateway.app import create_app
from serving.gateway.services import Services
class Pool:
    class view:
        serial, models = 3, {}
services = Services(Settings(), None, Pool, None, StatePaths(Path(sys.argv[1])))
client = create_app(services).test_client()
client.get("/livez")
print(client.get("/metrics").text)
"""


def test_in_multiprocess_mode_one_scrape_adds_up_all_workers(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    for count in ("2", "3"):
        subprocess.run([sys.executable, "-c", CHILD, count], env=environment, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)], env=environment, check=True, timeout=60, capture_output=True, text=True
    )
    assert 'stagedoor_rejected_requests_total{code="overloaded"} 5.0' in done.stdout
    assert 'stagedoor_gateway_http_request_total{method="GET",status="200"} 1.0' in done.stdout
    assert "stagedoor_snapshot_serial 0.0" in done.stdout
    assert "pid=" not in done.stdout
