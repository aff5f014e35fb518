"""All of Stagedoor as `stagedoor up` runs it, and what people do to it: promote, ask, look."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from stagedoor.auth import issue_token
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

from .models import Files
from .traffic import PER_SECOND, Answer, Line, Traffic

STAGEDOOR = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')")
MLFLOW = (sys.executable, "-m", "mlflow")
START_SECONDS = 240.0
PATIENCE_SECONDS = 120.0
STALE_AFTER_SECONDS = 3.0
JUDGED = "delta=5 delta_latency=5 max_latency=5s"
"""A busy machine makes anybody slow: what is slow here is none of a busy machine's."""
CANARY = f"canary steps=10,50 interval=1s outcomes=20 {JUDGED}"

Json = dict[str, Any]


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what() if callable(what) else what}"
        time.sleep(0.1)
    return found


def quiet_environment(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("STAGEDOOR_", "MLFLOW_"))}
    return {**kept, "GIT_PYTHON_REFRESH": "quiet", **more}


class System:
    """A running system at these addresses; who has put it there is of no account."""

    def __init__(self, state: Path, mlflow: str, gateway: str, controller: str) -> None:
        self.paths = StatePaths(state)
        self.mlflow_url, self.gateway, self.controller = mlflow, gateway, controller
        self._settings = Settings(state_dir=state)

    def token(self, subject: str = "alice", role: str = "promoter") -> str:
        return issue_token(
            self._settings, subject=subject, roles=(role,), models=("*",), lifetime_seconds=3600, now=time.time()
        )

    # --- MLflow ---

    def mlflow(self, method: str, path: str, who: str = "alice", **what: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token(who)}"}
        answer = requests.request(method, f"{self.mlflow_url}/api/2.0/{path}", headers=headers, timeout=30, **what)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None

    def register(self, name: str, files: Files) -> str:
        """Log these files as a model and register it; gives the version."""
        run = self.mlflow("POST", "mlflow/runs/create", json={"experiment_id": "0"})["run"]["info"]
        place = run["artifact_uri"].removeprefix("mlflow-artifacts:").lstrip("/")
        for path, body in files.items():
            self.mlflow("PUT", f"mlflow-artifacts/artifacts/{place}/model/{path}", data=body)
        with contextlib.suppress(AssertionError):  # it exists
            self.mlflow("POST", "mlflow/registered-models/create", json={"name": name})
        made = {"name": name, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
        return str(self.mlflow("POST", "mlflow/model-versions/create", json=made)["model_version"]["version"])

    def point(self, name: str, version: str, alias: str = "champion", who: str = "alice") -> None:
        what = {"name": name, "alias": alias, "version": version}
        self.mlflow("POST", "mlflow/registered-models/alias", who, json=what)

    def tag(self, name: str, key: str, value: str) -> None:
        self.mlflow("POST", "mlflow/registered-models/set-tag", json={"name": name, "key": key, "value": value})

    def champion(self, name: str) -> str | None:
        model = self.mlflow("GET", "mlflow/registered-models/get", params={"name": name})["registered_model"]
        return next((str(one["version"]) for one in model.get("aliases", ()) if one["alias"] == "champion"), None)

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        found = self.mlflow("GET", "mlflow/model-versions/get", params={"name": name, "version": version})["model_version"]
        return {tag["key"]: tag["value"] for tag in found.get("tags", ())}

    # --- the gateway ---

    def predict(self, name: str) -> Answer:
        line = Line(self.gateway, name, self.token("app", "predictor"))
        try:
            return line.ask(b'{"inputs": {"x": [[4.0]]}}')
        finally:
            line.close()

    def traffic(self, name: str, per_second: float = PER_SECOND) -> Traffic:
        return Traffic(self.gateway, name, self.token("app", "predictor"), per_second)

    def serves(self, name: str, version: str) -> bool:
        """Whether this version answers, and no other, however often one asks."""
        return {(answer.status, answer.version) for answer in (self.predict(name) for _ in range(8))} == {(200, version)}

    # --- the controller ---

    def ask(self, method: str, path: str, who: str = "alice", role: str = "promoter", **what: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token(who, role)}"}
        return requests.request(method, f"{self.controller}{path}", headers=headers, timeout=30, **what)

    def order(self, name: str, verb: str, who: str = "alice", role: str = "promoter", **body: Any) -> Json:
        """A command over REST; gives the model's account."""
        answer = self.ask("POST", f"/v1/models/{name}/{verb}", who, role, json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def account(self, name: str) -> Json:
        """What the controller says of the model; nothing while it does not answer or does not know it."""
        try:
            answer = self.ask("GET", f"/v1/models/{name}")
        except requests.RequestException:
            return {}
        return dict(answer.json()) if answer.status_code == 200 else {}

    def history(self, name: str, **query: str) -> Json:
        answer = self.ask("GET", f"/v1/models/{name}/history", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def kinds(self, name: str) -> list[str]:
        """What was decided, oldest first."""
        return [entry["kind"] for entry in reversed(self.history(name)["entries"])]

    def reaches(self, name: str, phase: str, seconds: float = PATIENCE_SECONDS) -> Json:
        found = until(lambda: self._in_phase(name, phase), lambda: f"{name} is in phase {phase}: {self.account(name)}", seconds)
        return dict(found)

    def _in_phase(self, name: str, phase: str) -> Json | None:
        account = self.account(name)
        return account if account.get("phase") == phase else None

    def ends(self, name: str, version: str, outcome: str, seconds: float = PATIENCE_SECONDS) -> Json:
        """Wait until the trial of `version` has ended so, and the alias says so too; gives how it ended."""

        def ended() -> Json | None:
            last = self.account(name).get("last") or {}
            return dict(last) if last.get("version") == version else None

        last: Json = until(ended, lambda: f"{name}/{version} {outcome}: {self.account(name)}", seconds)
        assert last["outcome"] == outcome, last
        return last

    def goes_live(self, name: str, version: str, seconds: float = PATIENCE_SECONDS) -> None:
        def live() -> bool:
            account = self.account(name)
            return account.get("stable") == version and account.get("candidate") is None and self.serves(name, version)

        until(live, lambda: f"{name}/{version} is live: {self.account(name)}", seconds)

    def with_live(self, *names: str, files: Files) -> None:
        """Models of these names, version 1 live; gated side by side."""
        for name in names:
            version = self.register(name, files)
            self.tag(name, "stagedoor.rollout", CANARY)
            self.point(name, version)
        for name in names:
            self.goes_live(name, "1")

    # --- the commands ---

    def stagedoor(self, *arguments: str, who: str = "", role: str = "promoter") -> "subprocess.CompletedProcess[str]":
        """A `stagedoor` command; as `who` where one is named, else with the tokens of `up`."""
        named = ("--token", self.token(who, role), "--controller", self.controller) if who else ()
        command = (*STAGEDOOR, *arguments, "--state", str(self.paths.root), *named)
        return _run(command, quiet_environment())

    def deployments(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`mlflow deployments ... -t stagedoor:...` as CI calls it."""
        verb, *rest = arguments
        target = f"stagedoor:{self.controller}"
        environment = quiet_environment(MLFLOW_TRACKING_URI=self.mlflow_url, MLFLOW_TRACKING_TOKEN=self.token("ci"))
        return _run((*MLFLOW, "deployments", verb, "-t", target, *rest), environment)


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False
    )


class Up:
    """`stagedoor up` in a folder of its own. `system` once it runs."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.log = folder / "up.log"
        ports = ("--gateway-port", "0", "--mlflow-port", "0", "--controller-port", "0", "--workers", "2")
        ours = quiet_environment(
            STAGEDOOR_POLL_SECONDS="0.5",
            STAGEDOOR_REGISTRY_TIMEOUT_SECONDS="2",
            STAGEDOOR_STALE_AFTER_SECONDS=str(STALE_AFTER_SECONDS),
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                (*STAGEDOOR, "up", "--state", str(self.state), *ports),
                env=ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self) -> System:
        file = self.state / "endpoints.json"
        until(lambda: file.exists() or self._process.poll() is not None, "the system runs", START_SECONDS)
        assert self._process.poll() is None, self.log.read_text()
        found = json.loads(file.read_text())
        return System(self.state, found["mlflow"], found["gateway"], found["controller"])

    def processes(self, *words: str) -> list[int]:
        """Those of this system whose command line has all these words; guardians are none."""
        mark = f"STAGEDOOR_STATE_DIR={self.state}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                ours = mark in (entry / "environ").read_bytes().split(b"\0")
                if ours and "guardian" not in line and all(word in line for word in words):
                    found.append(int(entry.name))
        return found

    def signal(self, number: int, *words: str) -> None:
        """To every process with these words in its command line."""
        pids = self.processes(*words)
        assert pids, words
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
