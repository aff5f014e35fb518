"""What the controller asks about how versions do. Two sources answer it: the gateways themselves, and a Prometheus server."""

from collections.abc import Collection, Mapping
from typing import Protocol

from stagedoor.domain.evidence import Evidence

Reports = Mapping[str, Mapping[int, Evidence]]
"""By model, then by epoch. A model or an epoch without any counts is absent."""


class EvidenceSource(Protocol):
    """Counts of the requests that traffic sent to watched routes. Safe to call from several threads; never waits for long."""

    def read(self, models: Collection[str], now: float) -> Reports:
        """What was counted of these models, their newest epochs; cumulative over restarts of gateways.

        `now` are seconds since 1970 and must not go back. Raises EvidenceUnavailable as soon as one gateway cannot tell: a
        candidate that takes a machine down with it must not be promoted on what the others say. The error's `partial` holds
        the reports as far as they are known: what is left out is left out of both arms, so that they are good enough to roll
        back on, but never to promote on.
        """

    def stable_p99(self, model: str, version: str) -> float | None:
        """Seconds within which 99 % of this version's requests were answered, of all that the gateways remember.

        None while there are fewer than a hundred. Raises EvidenceUnavailable when no gateway answers.
        """
