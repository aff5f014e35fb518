"""`stagedoor drill`: a fault on purpose, for a test cohort alone, to see that and how soon it is caught."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import requests

from stagedoor import names
from stagedoor.cli import options
from stagedoor.cli.asking import Refused, Service, Unanswered, find_controller, find_gateway, model_path
from stagedoor.cli.drill_body import find_body
from stagedoor.cli.drill_traffic import Tally, Traffic
from stagedoor.cli.narrate import Narrator

POLL_SECONDS: Final = 0.25
_OK: Final = 200
Json = dict[str, Any]


@click.command()
@click.argument("model")
@click.option("--fault", type=click.Choice(["error", "latency", "nan"]), required=True, help="What goes wrong.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Share of the cohort's requests to the candidate that suffer it.",
)
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=60.0, show_default=True, help="The drill ends by itself after this."
)
@click.option(
    "--requests-per-second", type=click.FloatRange(0.1, 200), default=20.0, show_default=True, help="The cohort's traffic."
)
@click.option(
    "--body",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A request body for /models/MODEL/invocations. By default an example, or zeros.",
)
@options.state
@options.controller
@options.gateway
@options.token
@options.as_json
def drill(  # noqa: PLR0913  one argument an option
    *,
    model: str,
    fault: str,
    rate: float,
    seconds: float,
    requests_per_second: float,
    body: Path | None,
    state: Path | None,
    controller: str | None,
    gateway: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Put a fault into an arm of MODEL for a test cohort, send that cohort's requests, and report how soon it is closed.

    Nobody else's requests are touched. Takes an admin's token. Exit code 0 if the fault was found, 1 if it was not.
    """
    control = find_controller(state, controller, token, names.ROLE_ADMIN)
    served = find_gateway(state, gateway, token, names.ROLE_PREDICTOR)
    payload = find_body(served, model, body, options.settings_for(state)[1])
    _try(served, model, payload)
    wish = {"fault": fault, "rate": rate, "seconds": seconds}
    report = _Drill(control, served, model, payload, wish, requests_per_second).run()
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(sentence(report))
    if not report["found"]:
        raise click.ClickException("The fault was not found in that time. Send more requests, or take a longer drill.")


def _try(gateway: Service, model: str, payload: bytes) -> None:
    """See that the live version answers this body. Raises click.ClickException."""
    headers = {"Authorization": f"Bearer {gateway.token}", "Content-Type": "application/json"}
    url = f"{gateway.address}/models/{quote(model, safe='')}/invocations"
    try:
        answer = requests.post(url, data=payload, headers=headers, timeout=30, allow_redirects=False)
    except requests.RequestException as error:
        raise Unanswered(f"No gateway answers at {gateway.address}. Start one with `stagedoor up`.") from error
    if answer.status_code != _OK:
        raise click.ClickException(
            f"The live version answers this body with {answer.status_code}. Give one that it takes with --body FILE."
        )


@dataclass(frozen=True, slots=True)
class _Drill:
    """One drill. `wish` is what the controller is asked for: fault, rate and seconds."""

    control: Service
    gateway: Service
    model: str
    payload: bytes
    wish: Json
    per_second: float

    def run(self) -> Json:
        """The drill from beginning to end; whatever happens, it does not stay."""
        path = model_path(self.model, "drill")
        started: Json = self.control.post(path, self.wish)
        began = time.monotonic()
        try:
            with (
                Narrator().doing(
                    f"Drill: {self.wish['fault']} in {self.wish['rate']:g} of the cohort's requests to the candidate"
                ),
                Traffic(self.gateway, self.model, self.payload, started["cohort"], self.per_second) as traffic,
            ):
                reason = self._watch(started["asked_at"], began + self.wish["seconds"])
                noticed = time.monotonic()
        finally:
            with suppress(Unanswered, Refused):  # it ends by itself at its time
                self.control.delete(path)
        return self._report(reason, traffic.tally, began, noticed)

    def _watch(self, asked_at: float, until: float) -> str | None:
        """Why the arm was closed; None if it was not by then."""
        while time.monotonic() < until:
            with suppress(Unanswered):
                last = self.control.get(model_path(self.model)).get("last") or {}
                if last.get("outcome") in {"drilled", "rolled_back"} and (last.get("at") or 0) >= asked_at:
                    return str(last.get("reason") or "closed")
            time.sleep(POLL_SECONDS)
        return None

    def _report(self, reason: str | None, tally: Tally, began: float, noticed: float) -> Json:
        first = tally.first_candidate
        found = reason is not None
        return {
            "model": self.model,
            **self.wish,
            "found": found,
            "reason": reason,
            "seconds_to_rollback": round(noticed - first, 2) if found and first is not None else None,
            "seconds_since_start": round(noticed - began, 2),
            "sent": tally.sent,
            "candidate": tally.candidate,
            "shielded": tally.shielded,
            "errors": tally.errors,
            "slowest": round(tally.slowest, 3),
            "statuses": {str(status): number for status, number in sorted(tally.statuses.items())},
        }


def sentence(report: Json) -> str:
    """What people read."""
    told = (
        f"{report['sent']} requests of the cohort, {report['candidate']} of them to the candidate: "
        f"{report['shielded']} answered by the stable version in its place, {report['errors']} errors seen by callers, "
        f"the slowest {report['slowest']:.2f} s."
    )
    if not report["found"]:
        return told
    since = report["seconds_to_rollback"]
    start = f"{report['seconds_since_start']:g} s after the start"
    when = start if since is None else f"{since:g} s after the first request to it"
    return f"The arm was closed {when}. {report['reason']}\n{told}"
