"""How far each version has come on this machine, and the jobs that take it further: first ready as it is, then compiled."""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final

from serving.resolver.schedule import Key, Known, Outcome, Stage
from stagedoor.domain.snapshot import VersionEntry
from stagedoor.telemetry import get_logger

Job = Callable[[str, str, VersionEntry], Outcome]
"""Takes one version a stage further: its model, its number, and what is known of it; see `Preparer.prepare`."""

_NEVER: Final = float("inf")
_CRASHED: Final[Mapping[Stage, str]] = {"prepare": "preparation_crashed", "compile": "compilation_crashed"}


@dataclass(frozen=True, slots=True)
class Means:
    """What is run for a stage, and where. Stages have executors of their own, so that none waits for another's jobs."""

    run: Job
    where: Executor


class Progress:
    """Belongs to the resolver's one thread. Only what its jobs do happens elsewhere."""

    def __init__(self, means: Mapping[Stage, Means], ready: Mapping[Key, VersionEntry], chance: Callable[[], float]) -> None:
        self.known: dict[Key, Known] = {key: Known(entry) for key, entry in ready.items()}
        self.next_try = float("-inf")
        self.fetched = False
        self._means = means
        self._chance = chance
        self._jobs: dict[Key, tuple[Stage, Future[Outcome]]] = {}
        self._again: set[Key] = set()
        self._log = get_logger()

    @property
    def busy(self) -> bool:
        """Whether a job is under way: what it has just put into the store is known to nobody yet."""
        return bool(self._jobs)

    def entry(self, name: str, version: str) -> VersionEntry:
        """What is known of a version, to be published."""
        known = self.known.get((name, version))
        return known.entry if known else VersionEntry(version, "pending")

    def is_uncompiled(self, name: str, version: str) -> bool:
        """Whether a version is ready as it is, and its compiled form is still to come."""
        known = self.known.get((name, version))
        return known is not None and known.more

    def look_again(self) -> None:
        """Something may be due before the next try that was foreseen."""
        self.next_try = float("-inf")

    def forget(self, name: str) -> None:
        """The same version numbers will mean other files from now on; a job under way is of the old ones."""
        for key in self._of(name):
            del self.known[key]
        self._jobs = {key: job for key, job in self._jobs.items() if key[0] != name}
        self.look_again()

    def prepare_again(self, name: str) -> None:
        """What is ready stays so, and is looked at anew: after a preparation under way, and whatever a compilation finds."""
        self.known.update({key: self.known[key].anew() for key in self._of(name)})
        self._again |= {key for key, (stage, _) in self._jobs.items() if key[0] == name and stage == "prepare"}
        self._jobs = {key: job for key, job in self._jobs.items() if key[0] != name or key in self._again}
        self.look_again()

    def forget_failures(self, keys: Iterable[Key]) -> None:
        """Versions that nobody wants any more are remembered only if they are ready: the next one to want one asks anew."""
        for key in [key for key in keys if key in self.known and self.known[key].entry.state != "ready"]:
            del self.known[key]

    def forget_files(self, digests: Collection[str]) -> None:
        """These files are no longer here."""
        self.fetched = False
        self.known = {key: known for key, known in self.known.items() if known.entry.digest not in digests}

    def start(self, wanted: frozenset[Key], now: float) -> None:
        """Start what is due for the versions that are wanted."""
        if now < self.next_try:
            return
        self.next_try = _NEVER
        for key in sorted(wanted - self._jobs.keys()):
            known = self.known.setdefault(key, Known(VersionEntry(key[1], "pending")))
            if known.due is None:
                continue
            if known.retry_at <= now:
                means = self._means[known.due]
                self._jobs[key] = known.due, means.where.submit(means.run, *key, known.entry)
            else:
                self.next_try = min(self.next_try, known.retry_at)

    def collect(self, now: float) -> set[str]:
        """Take in what has ended; the models about which something else is known now."""
        changed = set()
        for key in [key for key, (_, job) in self._jobs.items() if job.done()]:
            stage, job = self._jobs.pop(key)
            before = self.known.get(key, Known(VersionEntry(key[1], "pending")))
            outcome = self._outcome(key, stage, job, before.entry)
            after = before.after(outcome, now, self._chance())
            if key in self._again:
                self._again.discard(key)
                after = after.anew()
            self.known[key] = after
            self.next_try = min(self.next_try, after.retry_at)
            if (after.entry, after.more) != (before.entry, before.more):
                changed.add(key[0])
            self.fetched |= _files(after.entry) != _files(before.entry)
        return changed

    def _outcome(self, key: Key, stage: Stage, job: "Future[Outcome]", before: VersionEntry) -> Outcome:
        failure = job.exception()
        if failure is None:
            return job.result()
        self._log.error(_CRASHED[stage], model=key[0], version=key[1], exc_info=failure)
        if stage == "compile":
            return Outcome(before)  # it serves as it is
        reason = "Preparing it failed unexpectedly. The resolver's log says how."
        return Outcome(VersionEntry(key[1], "refused", code="internal_error", reason=reason))

    def _of(self, name: str) -> list[Key]:
        return [key for key in self.known if key[0] == name]


def _files(entry: VersionEntry) -> tuple[str, str]:
    return entry.digest, entry.compiled
