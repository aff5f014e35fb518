"""`stagedoor demo`: a bad version is promoted beside real traffic, and taken back while you watch."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from stagedoor import names
from stagedoor.cli import options
from stagedoor.cli.asking import SERVER_ERROR, Refused, Service, Unanswered, model_path
from stagedoor.cli.demo_view import Stage, callers_line
from stagedoor.cli.endings import Ending, ending_of
from stagedoor.cli.stopping import stop_event
from stagedoor.demo.callers import Callers, bodies
from stagedoor.demo.catalog import BREAST_CANCER, LOGARITHMS, RECIPE_TAG, ROLLOUT, rows_file
from stagedoor.local.endpoints import Endpoints, read_endpoints

PER_SECOND: Final = 50.0
POLL_SECONDS: Final = 0.5
_FIRST_SECONDS: Final = 2.0
"""Of traffic before the move, so that the live version's own rates are known."""

_SETTLE_SECONDS: Final = 15.0
_MLFLOW: Final = "/api/2.0/mlflow"
Json = dict[str, Any]


@click.command()
@options.state
@click.option(
    "--traffic", "only_traffic", is_flag=True, help="Only send the requests, beside a promotion of your own in MLflow."
)
@click.option(
    "--seconds",
    type=click.FloatRange(5, 3600),
    default=300.0,
    show_default=True,
    help="The traffic ends by then at the latest.",
)
def demo(*, state: Path | None, only_traffic: bool, seconds: float) -> None:
    """Promote a bad version of breast-cancer beside 50 requests a second, and watch it being rolled back.

    Needs a running `stagedoor up --demo`. Version "log-onnx" passes every gate, and answers NaN for patients who have a zero
    among their measurements: half of those that are sent. Exit code 0 if it was rolled back.
    """
    paths = options.settings_for(state)[1]
    endpoints = read_endpoints(paths.endpoints)
    if endpoints is None or endpoints.controller is None:
        raise click.ClickException(
            "No `stagedoor up --demo` with a controller runs in this state folder. "
            "Start one in another terminal, or name its folder with --state DIR."
        )
    payloads = bodies(rows_file(paths.root / "examples"))
    token = endpoints.tokens[names.ROLE_PREDICTOR]
    with stop_event() as stop, Callers(endpoints.gateway, BREAST_CANCER, token, payloads, PER_SECOND) as callers:
        act = _Act(endpoints, Stage(), time.monotonic() + seconds, stop)
        if only_traffic:
            act.watch_traffic(callers)
        else:
            act.play(callers)


@dataclass(frozen=True, slots=True)
class _Act:
    """One showing. `until` is on the monotonic clock; `stop` is set by Ctrl-C."""

    endpoints: Endpoints
    stage: Stage
    until: float
    stop: threading.Event

    @property
    def _controller(self) -> Service:
        return Service("controller", self.endpoints.controller or "", self.endpoints.tokens[names.ROLE_PROMOTER])

    @property
    def _mlflow(self) -> Service:
        return Service("MLflow server", self.endpoints.mlflow, self.endpoints.tokens[names.ROLE_PROMOTER])

    def watch_traffic(self, callers: Callers) -> None:
        """Send and show until the time is up or Ctrl-C."""
        self.stage.tell("Sending requests for breast-cancer. Promote a version in MLflow, and watch; Ctrl-C ends the traffic.")
        with self.stage:
            while time.monotonic() < self.until and not self.stop.wait(POLL_SECONDS):
                self._look(callers)
        self.stage.tell(callers_line(callers.seen))

    def play(self, callers: Callers) -> None:
        """From the move to what MLflow shows in the end. Raises click.ClickException if the version was not rolled back."""
        bad = self._bad_version()
        before = self._ready(bad)
        with self._quick(before):
            self.stop.wait(_FIRST_SECONDS)
            self.stage.tell(f"Moving the alias {names.CHAMPION} in MLflow from version {before['stable']} to version {bad} ...")
            began = time.monotonic()
            self._mlflow.post(
                f"{_MLFLOW}/registered-models/alias", {"name": BREAST_CANCER, "alias": names.CHAMPION, "version": bad}
            )
            ending = self._ending(bad, before["updated_at"], callers)
        self._close(ending, time.monotonic() - began, callers)

    def _bad_version(self) -> str:
        found = self._mlflow.get(f"{_MLFLOW}/model-versions/search", filter=f"name='{BREAST_CANCER}'")
        for version in found.get("model_versions", ()):
            if {"key": RECIPE_TAG, "value": LOGARITHMS} in version.get("tags", ()):
                return str(version["version"])
        raise click.ClickException("The third act's version is not registered. Start `stagedoor up --demo` again.")

    def _ready(self, bad: str) -> Json:
        """The model's account, if the act can begin. Raises click.ClickException that says what to do first."""
        account: Json = self._controller.get(model_path(BREAST_CANCER))
        if account.get("candidate"):
            raise click.ClickException(
                f"A rollout of {BREAST_CANCER} is under way. `stagedoor abort {BREAST_CANCER}` ends it; then begin again."
            )
        if names.TAG_TRAFFIC in _tags(self._model()):
            raise click.ClickException(
                f"The traffic of {BREAST_CANCER} is split by hand. `stagedoor traffic {BREAST_CANCER} --off` ends that."
            )
        if account.get("stable") in {None, bad}:
            raise click.ClickException(
                f"Version {bad} is live. Promote another first: `stagedoor rollback {BREAST_CANCER}`."
                if account.get("stable")
                else f"No version of {BREAST_CANCER} is live. Give one the alias {names.CHAMPION} first."
            )
        return account

    @contextmanager
    def _quick(self, before: Json) -> Iterator[None]:
        """The quick strategy for the time of the act. Ended early, the rollout is aborted: without requests it would hold."""
        was = _tags(self._model()).get(names.TAG_ROLLOUT)
        ours = before.get("strategy") != ROLLOUT
        if ours:
            self._tag(ROLLOUT)
        try:
            yield
        except BaseException:
            with suppress(Unanswered, Refused):
                self._controller.post(model_path(BREAST_CANCER, "abort"))
            raise
        finally:
            if ours:
                self._tag(was)

    def _tag(self, value: str | None) -> None:
        what = {"name": BREAST_CANCER, "key": names.TAG_ROLLOUT}
        if value is None:
            self._mlflow.ask("DELETE", f"{_MLFLOW}/registered-models/delete-tag", json=what)
        else:
            self._mlflow.post(f"{_MLFLOW}/registered-models/set-tag", {**what, "value": value})

    def _ending(self, bad: str, since: float, callers: Callers) -> Ending:
        with self.stage:
            while time.monotonic() < self.until:
                account = self._look(callers)
                ending = ending_of(account, bad, since) if account else None
                if ending is not None:
                    return ending
                if self.stop.wait(POLL_SECONDS):
                    raise click.ClickException(
                        "Ended before it was decided. The controller was asked to take the version back."
                    )
        raise click.ClickException("It was not decided in that time. Is this machine very busy? Give it more with --seconds.")

    def _look(self, callers: Callers) -> Json | None:
        """The account, shown; None while the controller does not answer."""
        try:
            account: Json = self._controller.get(model_path(BREAST_CANCER))
        except Unanswered:
            return None
        except Refused as error:
            if error.status < SERVER_ERROR:
                raise
            return None
        self.stage.show(account, callers.seen)
        return account

    def _close(self, ending: Ending, seconds: float, callers: Callers) -> None:
        if ending.outcome != "rolled_back":
            raise click.ClickException(f"This was not meant to happen. {ending}")
        self.stage.tell(f"\n{ending}\nThat took {seconds:.0f} s. {callers_line(callers.seen)}")
        end = time.monotonic() + _SETTLE_SECONDS
        while self._champion() == ending.version and time.monotonic() < end:  # the route turns first, the alias follows
            if self.stop.wait(POLL_SECONDS):
                break
        page = f"{self.endpoints.mlflow}/#/models/{BREAST_CANCER}/versions/{ending.version}"
        self.stage.tell(
            f"MLflow now shows: {names.CHAMPION} is version {self._champion()} again, and on version {ending.version} "
            f"the tag {names.TAG_VERDICT}, which says why:\n{page}"
        )

    def _model(self) -> Json:
        found: Json = self._mlflow.get(f"{_MLFLOW}/registered-models/get", name=BREAST_CANCER)["registered_model"]
        return found

    def _champion(self) -> str | None:
        aliases = self._model().get("aliases", ())
        return next((str(one["version"]) for one in aliases if one["alias"] == names.CHAMPION), None)


def _tags(model: Json) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in model.get("tags", ())}
