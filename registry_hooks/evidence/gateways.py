"""Evidence from the gateways' own counters, read at each look."""

import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from registry_hooks.evidence.asking import Asker
from registry_hooks.evidence.latency import quantile
from registry_hooks.evidence.port import Reports
from registry_hooks.evidence.series import WANTED, Reading, parse, reading
from registry_hooks.evidence.tally import Tally
from stagedoor.errors import EvidenceUnavailable

AT_ONCE: Final = 16
P99: Final = 0.99

Tokens = Callable[[], str]


class GatewaySource:
    """The EvidenceSource over `GET /metrics` of every gateway in `urls`.

    `token` is asked at each look when the metrics need one, else None. `deadline`: see Tally.
    """

    def __init__(self, urls: Iterable[str], *, token: Tokens | None, deadline: float) -> None:
        self._askers = {url: Asker(url, who="The gateway") for url in urls}
        self._token = token
        self._tally = Tally(deadline=deadline, dense=True)
        self._lock = threading.Lock()

    def read(self, models: Collection[str], now: float) -> Reports:
        """See EvidenceSource."""
        with self._lock:
            silent = self._look(now)
            reports = self._tally.reports(models)
        if silent:
            raise EvidenceUnavailable(" ".join(silent), partial=reports)
        return reports

    def stable_p99(self, model: str, version: str) -> float | None:
        """See EvidenceSource. Looks anew, and leaves what `read` keeps alone."""
        with self._lock:
            found = self._ask_all()
        tally = Tally(deadline=0, dense=False)
        for url, told in found.items():
            if isinstance(told, Reading):
                tally.add(url, told, 0)
        if not any(isinstance(told, Reading) for told in found.values()):
            raise EvidenceUnavailable(" ".join(map(str, found.values())))
        return quantile(tally.latency(model, version), P99)

    def _look(self, now: float) -> tuple[str, ...]:
        """Ask all; returns what is wrong with those that could not tell."""
        silent = []
        for url, told in self._ask_all().items():
            if isinstance(told, Reading):
                self._tally.add(url, told, now)
            else:
                silent.append(str(told))
        return tuple(silent)

    def _ask_all(self) -> dict[str, Reading | EvidenceUnavailable]:
        token = self._token() if self._token else None
        with ThreadPoolExecutor(min(AT_ONCE, len(self._askers)), "evidence") as pool:
            answers = pool.map(lambda asker: _ask(asker, token), self._askers.values())
            return dict(zip(self._askers, answers, strict=True))


def _ask(asker: Asker, token: str | None) -> Reading | EvidenceUnavailable:
    try:
        body = asker.ask("/metrics", {"name[]": list(WANTED)}, token=token)
        return reading(parse(body.decode()))
    except EvidenceUnavailable as error:
        return error
    except ValueError as error:
        found = EvidenceUnavailable(f"What a gateway shows as metrics cannot be read ({type(error).__name__}).")
        found.__cause__ = error
        return found
