"""`stagedoor up`: everything on one machine, and gone again with it."""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from stagedoor import names
from stagedoor.auth import issue_token
from stagedoor.cli import options
from stagedoor.cli.narrate import Narrator
from stagedoor.cli.stopping import stop_event
from stagedoor.cli.welcome import show_running, show_welcome
from stagedoor.demo.catalog import MODELS, ROLLOUT
from stagedoor.errors import ConfigurationError
from stagedoor.local import specs
from stagedoor.local.endpoints import Endpoints
from stagedoor.local.house import House, Stopped
from stagedoor.local.models_live import wait_live
from stagedoor.local.ports import PortWish, claim, url
from stagedoor.local.process import Process, Spec
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

ROLES: Final = (names.ROLE_ADMIN, names.ROLE_PROMOTER, names.ROLE_PREDICTOR)
_LIFETIME_SECONDS: Final = 24 * 3600
_RENEW_SECONDS: Final = 12 * 3600


@dataclass(frozen=True, slots=True)
class _Plan:
    settings: Settings
    paths: StatePaths
    host: str
    mlflow_port: int
    gateway_port: int
    controller_port: int
    workers: int
    demo: bool

    @property
    def controlled(self) -> bool:
        """Whether a controller decides what the gateway serves."""
        return self.controller_port >= 0

    def endpoints(self) -> Endpoints:
        """With new tokens, good for a day."""
        now = time.time()
        tokens = {
            role: issue_token(
                self.settings,
                subject=f"stagedoor-up-{role}",
                roles=(role,),
                models=("*",),
                lifetime_seconds=_LIFETIME_SECONDS,
                now=now,
            )
            for role in ROLES
        }
        controller = url(self.host, self.controller_port) if self.controlled else None
        return Endpoints(url(self.host, self.mlflow_port), url(self.host, self.gateway_port), controller, tokens)


@click.command()
@options.state
@click.option("--demo", is_flag=True, help="Also train and register the demo's models (once), and show how to call them.")
@options.host
@options.gateway_port
@options.mlflow_port
@click.option(
    "--controller-port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Port of the controller; 0 takes a free one.",
)
@click.option("--no-controller", is_flag=True, help="Follow the aliases directly: no gates, no canary, no rollback.")
@options.workers
def up(  # noqa: PLR0913  one argument an option
    *,
    state: Path | None,
    host: str,
    gateway_port: int,
    mlflow_port: int,
    controller_port: int,
    no_controller: bool,
    workers: int,
    demo: bool,
) -> None:
    """Start the MLflow server, the gateway and the controller on this machine, and stay in the foreground.

    Once all are ready, endpoints.json in the state folder holds their addresses and tokens. Ctrl-C ends everything.
    """
    settings, paths = options.settings_for(state)
    paths.root.mkdir(parents=True, exist_ok=True)
    with _alone(paths):
        wishes = (
            PortWish("the MLflow server", mlflow_port, "--mlflow-port"),
            PortWish("the gateway", gateway_port, "--gateway-port"),
            *([] if no_controller else [PortWish("the controller", controller_port, "--controller-port")]),
        )
        mlflow_at, gateway_at, *controller_at = claim(host, wishes)
        plan = _Plan(settings, paths, host, mlflow_at, gateway_at, (*controller_at, -1)[0], workers, demo)
        narrator = Narrator()
        paths.endpoints.unlink(missing_ok=True)
        try:
            with stop_event() as stop, House(stop, narrator.tell) as house:
                _run(plan, house, narrator, stop)
                narrator.tell("Ending ...")
        except Stopped:
            narrator.tell("Stopped before everything was ready.")
        finally:
            paths.endpoints.unlink(missing_ok=True)


@contextmanager
def _alone(paths: StatePaths) -> Iterator[None]:
    """Hold the state folder. Raises ConfigurationError when another `up` holds it."""
    with (paths.root / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = "Another `stagedoor up` runs in this state folder. End it first, or choose another with --state DIR."
            raise ConfigurationError(reason) from error
        yield


def _run(plan: _Plan, house: House, narrator: Narrator, stop: threading.Event) -> None:
    endpoints = plan.endpoints()
    with narrator.doing("Starting MLflow and the gateway"):
        for spec in _residents(plan, endpoints):
            house.start(spec)
        house.wait_ready()
    if plan.demo:
        examples = plan.paths.root / "examples"
        token = endpoints.tokens[names.ROLE_PROMOTER]
        _train(specs.demo(plan.paths, endpoints.mlflow, token, examples), house, narrator, stop)
        with narrator.doing("Waiting until the gateway serves the demo's models"):
            wait_live(endpoints.gateway, token, MODELS, stop, workers=plan.workers)
        endpoints.write(plan.paths.endpoints)
        show_welcome(endpoints, examples)
    else:
        endpoints.write(plan.paths.endpoints)
        show_running(endpoints, plan.paths.endpoints)
    house.run(every=_Renewal(plan))


def _residents(plan: _Plan, endpoints: Endpoints) -> tuple[Spec, ...]:
    paths, host, controller = plan.paths, plan.host, endpoints.controller
    nudges = tuple(f"{address}/nudge" for address in (endpoints.gateway, controller) if address)
    follow = "route" if plan.controlled else "aliases"
    secret = plan.settings.webhook_secret
    signing = secret.get_secret_value() if secret else specs.webhook_secret(paths)
    gateway = specs.gateway(
        paths, endpoints.mlflow, host, plan.gateway_port, plan.workers, follow=follow, controller_url=controller
    )
    quick = ROLLOUT if plan.demo and "rollout" not in plan.settings.model_fields_set else None
    control = specs.controller(
        paths, endpoints.mlflow, (endpoints.gateway,), host, plan.controller_port, secret=signing, rollout=quick
    )
    return (
        specs.mlflow_server(paths, host, plan.mlflow_port, nudge_urls=nudges, webhook_key=specs.webhook_key(paths)),
        specs.resolver(paths, endpoints.mlflow, follow),
        gateway,
        *((control,) if plan.controlled else ()),
    )


def _train(spec: Spec, house: House, narrator: Narrator, stop: threading.Event) -> None:
    """Run the demo's training to its end, passing on what it says. Raises ConfigurationError if it fails."""
    process = Process.start(spec, piped=True)
    lines = threading.Thread(target=_pass_on, args=(process, narrator), daemon=True)
    try:
        with narrator.doing("Training and registering the demo's models"):
            lines.start()
            while (code := process.exit_code()) is None:
                if stop.wait(0.1):
                    raise Stopped
                house.check()
            lines.join(5)
        if code:
            raise ConfigurationError(f"The demo could not be set up. The end of its log, {spec.log}:\n{process.tail()}")
    finally:
        process.end()


def _pass_on(process: Process, narrator: Narrator) -> None:
    for line in process.output or ():
        narrator.tell(f"  {line.decode(errors='replace').rstrip()}")


class _Renewal:
    """Writes new tokens into endpoints.json long before the old ones expire."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._due = time.monotonic() + _RENEW_SECONDS

    def __call__(self) -> None:
        """Called a few times a second; acts twice a day."""
        if time.monotonic() >= self._due:
            self._due += _RENEW_SECONDS
            self._plan.endpoints().write(self._plan.paths.endpoints)
