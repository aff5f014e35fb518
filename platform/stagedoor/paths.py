"""Where things lie in the state folder. One machine, one folder; every process of Stagedoor on it reads the same."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The layout of a state folder. Nothing here touches the disk."""

    root: Path

    @property
    def endpoints(self) -> Path:
        """URLs and tokens of a running `stagedoor up` (mode 0600)."""
        return self.root / "endpoints.json"

    @property
    def secret(self) -> Path:
        """The generated HS256 signing secret (mode 0600)."""
        return self.root / "token.secret"

    @property
    def snapshot(self) -> Path:
        """What this machine serves; replaced as a whole."""
        return self.root / "serving" / "snapshot.json"

    @property
    def heartbeat(self) -> Path:
        """How the last reads of the registry went; replaced as a whole at each read."""
        return self.root / "serving" / "heartbeat.json"

    @property
    def nudge(self) -> Path:
        """Touched to make the resolver look at the registry at once."""
        return self.root / "serving" / "nudge"

    @property
    def demand(self) -> Path:
        """Folder of small files, each asking for one version that no alias names."""
        return self.root / "serving" / "demand"

    @property
    def store(self) -> Path:
        """Model files by SHA-256."""
        return self.root / "serving" / "store"

    @property
    def workers(self) -> Path:
        """Folder with one JSON file for each gateway worker: what it has loaded and at which serial it is."""
        return self.root / "serving" / "workers"

    @property
    def metrics(self) -> Path:
        """Folder of prometheus_client's multiprocess files."""
        return self.root / "serving" / "metrics"

    @property
    def units(self) -> Path:
        """Folder of shared bitmaps: which units of a sticky split have been counted."""
        return self.root / "serving" / "units"

    @property
    def control(self) -> Path:
        """The control plane's own folder: ledger, lease, copies of versions under examination."""
        return self.root / "control"

    @property
    def ledger(self) -> Path:
        """The ledger, where no other database is named."""
        return self.control / "ledger.db"

    @property
    def lease(self) -> Path:
        """Locked by the one controller of this machine that decides."""
        return self.control / "lease"

    @property
    def mlflow(self) -> Path:
        """Database and artifacts of the MLflow server that `stagedoor up` starts."""
        return self.root / "mlflow"

    @property
    def logs(self) -> Path:
        """One log file for each process that `stagedoor up` starts."""
        return self.root / "logs"
