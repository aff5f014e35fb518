"""Where a version is fetched, examined beside the live one, and shown to all gates. Takes as long as it takes."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from registry_hooks.gates.behaviour import Budget, GoldenRequests, is_slower
from registry_hooks.gates.case import Case, Facts, Gate, GateFinding, Result, Trouble
from registry_hooks.gates.examination import Examination
from registry_hooks.gates.examiner import Examiner, ExaminerGone
from registry_hooks.gates.records import Records, key_of
from registry_hooks.gates.running import all_gates, run_gates
from registry_hooks.gates.versions import Versions
from stagedoor import names
from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.errors import ArtifactError, InvalidTag, RegistryError, RegistryNotFound
from stagedoor.paths import StatePaths
from stagedoor.registry.port import Registry
from stagedoor.settings import MIB, Settings
from stagedoor.telemetry import get_logger

_SHARE_OF_DISK: Final = 4
"""Copies for examinations may take a quarter of what gateways may take for models."""
_METRIC: Final = "metric"
_SIGNATURE: Final = "signature"


class Source(Registry, Protocol):
    """The registry, and the metrics of its runs."""

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """See RegistryWriter."""


class Examining(Protocol):
    """See Examiner, the real one."""

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """See Examiner."""

    def close(self) -> None:
        """See Examiner."""


class Gatehouse:
    """Asks all gates about a version. Safe to call from several threads at once.

    `gates` are by default our own and those of the entry points `stagedoor.gates`, found once.
    """

    def __init__(
        self,
        registry: Source,
        settings: Settings,
        paths: StatePaths,
        *,
        gates: tuple[Gate, ...] | None = None,
        examiner: Examining | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._gates = all_gates() if gates is None else gates
        self._golden = paths.control / "golden"
        self._keys = paths.control / "keys"
        self._versions = Versions(paths.control / "versions", settings.disk_budget_mib * MIB // _SHARE_OF_DISK)
        self._records = Records(paths.control / "examinations")
        self._examiner: Examining = examiner or Examiner(paths.control / "examiner")  # where what models write harms nothing
        self._log = get_logger()

    def check(self, model: RegisteredModel, candidate: str, live: str | None, who: str) -> tuple[GateFinding, ...]:
        """What each gate says of the version `candidate`, with `live` (None: nothing) being live and `who` having promoted it.

        Never raises, and never passes a version for lack of evidence: what cannot be had is an `error` of the gate concerned.
        Blocks for as long as fetching and examining take, within `STAGEDOOR_GATE_TIMEOUT_SECONDS` for each version.
        """
        try:
            with ExitStack() as held:
                case = self._case(model, candidate, live, who, held)
                results = run_gates(self._gates, case, self._settings.gate_timeout_seconds)
                return tuple(GateFinding(name, result) for name, result in results)
        except RegistryNotFound:
            return _only_digest("fail", f"The registry has no version {candidate}.")
        except RegistryError as error:
            return _only_digest("error", f"The registry cannot tell: {error} It will be tried again.")
        except Exception as error:  # noqa: BLE001  the controller must outlive any slip here; nothing passes by it
            self._log.exception("gates_failed", model=model.name, version=candidate)
            return _only_digest(
                "error", f"The gates could not be asked ({type(error).__name__}). The controller's log says more."
            )

    def close(self) -> None:
        """End the process that examines."""
        self._examiner.close()

    def _case(self, model: RegisteredModel, candidate: str, live: str | None, who: str, held: ExitStack) -> Case:
        version = self._registry.version(model.name, candidate)
        examination, trouble, folder = self._look(model, version, held)
        beside, live_examination, live_trouble, live_folder = self._live(model, live, held)
        if examination is not None and live_examination is not None and _is_slower(model, examination, live_examination):
            examination = self._timed_anew(model, examination, folder)
            live_examination = self._timed_anew(model, live_examination, live_folder)
        return Case(
            model,
            version,
            beside,
            examination,
            trouble,
            live_examination,
            live_trouble,
            facts=self._facts(model, version, beside, who),
            folder=folder,
            keys=self._keys,
        )

    def _live(
        self, model: RegisteredModel, live: str | None, held: ExitStack
    ) -> tuple[ModelVersion | None, Examination | None, Trouble | None, Path | None]:
        if live is None:
            return None, None, None, None
        try:
            version = self._registry.version(model.name, live)
        except RegistryError as error:
            return None, None, Trouble("error", f"The registry cannot tell of version {live}: {error}"), None
        return version, *self._look(model, version, held)

    def _timed_anew(self, model: RegisteredModel, examination: Examination, folder: Path | None) -> Examination:
        """The examination with the latency of this very minute; as it is where that cannot be had."""
        if folder is None:
            return examination
        try:
            request = {**self._request(model), "folder": str(folder.resolve())}
            latency = Examination.read(self._examiner.examine(request)).latency
        except (ExaminerGone, OSError, KeyError, TypeError, ValueError):
            return examination
        return examination if latency is None else replace(examination, latency=latency)

    def _look(
        self, model: RegisteredModel, version: ModelVersion, held: ExitStack
    ) -> tuple[Examination | None, Trouble | None, Path | None]:
        """An examination or why there is none; and the files, where they are here."""
        if not version.complete:
            return None, Trouble("wait", "MLflow has not finished its registration."), None
        request = self._request(model)
        key = key_of(model.name, model.created_at, version.version, version.source, version.run_id, request)
        known = self._records.get(key)
        if known is not None and version.tags.get(names.TAG_SHA256) in {None, known.digest}:
            folder = held.enter_context(self._versions.kept(known.digest))
            if folder is not None or names.TAG_GATE_PREFIX + _SIGNATURE not in model.tags:
                return known, None, folder
        return self._fetched(version, request, key, held)

    def _fetched(
        self, version: ModelVersion, request: dict[str, Any], key: str, held: ExitStack
    ) -> tuple[Examination | None, Trouble | None, Path | None]:
        try:
            digest, folder = held.enter_context(self._versions.fetched(lambda into: self._registry.fetch(version, into)))
        except ArtifactError as error:
            return None, Trouble("fail", str(error)), None
        except RegistryNotFound:
            return None, Trouble("fail", "The registry has no such version any more."), None
        except RegistryError as error:
            return None, Trouble("error", f"Its artifacts cannot be fetched: {error} It will be tried again."), None
        except OSError as error:
            self._log.error("storing_failed", model=version.name, version=version.version, errno=error.errno)
            return None, Trouble("error", "The state folder cannot be written. It will be tried again."), None
        if version.tags.get(names.TAG_SHA256) not in {None, digest}:
            return Examination(digest, _TAMPERED), None, None  # never loaded
        return self._examined(digest, folder, request, key)

    def _examined(
        self, digest: str, folder: Path, request: dict[str, Any], key: str
    ) -> tuple[Examination | None, Trouble | None, Path | None]:
        golden = [*request["golden"], *(str(folder / name) for name in request["own_golden"])]
        try:
            report = self._examiner.examine({**request, "folder": str(folder.resolve()), "golden": golden})
            examination = Examination.read(report)
        except (ExaminerGone, OSError):
            return None, Trouble("error", "The process that examines versions gave no answer. It will be tried again."), None
        except (KeyError, TypeError, ValueError):
            return None, Trouble("error", "The process that examines versions answered nonsense. Look into its log."), None
        if examination.digest != digest:
            self._versions.discard(digest)
            return None, Trouble("error", "The copy under examination was damaged. It will be fetched again."), None
        if examination.failure is None:
            self._records.put(key, report)
        return examination, None, folder

    def _request(self, model: RegisteredModel) -> dict[str, Any]:
        """How to examine. A malformed tag is told by its gate; here it is as if it were not there."""
        gate = GoldenRequests()
        tolerance, own = 1e-3, None
        try:
            words = gate.read(model.tags.get(names.TAG_GATE_PREFIX + gate.name))
            tolerance, own = float(words.values.get("tolerance", tolerance)), words.values.get("file")
        except InvalidTag:
            pass
        folder = self._golden.resolve()
        files = [folder / f"{quote(model.name, safe='')}{suffix}" for suffix in (".json", ".jsonl")]
        there = [path for path in files if path.is_file()]
        return {
            "timeout": self._settings.gate_timeout_seconds,
            "memory": self._settings.gate_memory_mib,
            "allow_pickle": self._settings.allow_pickle,
            "onnx_providers": list(self._settings.onnx_providers),
            "onnx_threads": self._settings.onnx_intra_op_threads,
            "golden": list(map(str, there)),
            "golden_changed": [path.stat().st_mtime_ns for path in there],
            "own_golden": [own] if own else [],
            "tolerance": tolerance,
        }

    def _facts(self, model: RegisteredModel, version: ModelVersion, live: ModelVersion | None, who: str) -> Facts:
        """Runs are read only for models that ask for a metric."""
        if names.TAG_GATE_PREFIX + _METRIC not in model.tags:
            return Facts(who)
        try:
            return Facts(who, self._metrics(version), self._metrics(live) if live is not None else None)
        except RegistryError as error:
            return Facts(who, metrics_trouble=f"The metrics cannot be read: {error} It will be tried again.")

    def _metrics(self, version: ModelVersion) -> Mapping[str, float] | None:
        try:
            return self._registry.run_metrics(version.run_id) if version.run_id else None
        except RegistryNotFound:
            return None


def _is_slower(model: RegisteredModel, examination: Examination, live: Examination) -> bool:
    """Whether the gate `budget` would refuse it for that."""
    gate = Budget()
    try:
        ratio = gate.latency_ratio(gate.read(model.tags.get(names.TAG_GATE_PREFIX + gate.name)))
    except InvalidTag:
        return False  # which the gate itself will tell, as it will that it is switched off
    return is_slower(examination, live, ratio)


_TAMPERED: Final = ("TamperedArtifact", "The files are not those that were recorded, so they were not loaded.")


def _only_digest(outcome: Any, reason: str) -> tuple[GateFinding, ...]:  # noqa: ANN401  a GateOutcome
    return (GateFinding("digest", Result(outcome, reason)),)
