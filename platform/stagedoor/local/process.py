"""A child process that cannot be forgotten: started under the guardian, ended as a whole."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Self

_GUARDIAN: Final = Path(__file__).with_name("guardian.py")
_TAIL_BYTES: Final = 65_536
_LINE: Final = 300
_SWEEP_SECONDS: Final = 8.0
"""What the guardian may need beyond the grace time to end whatever is left."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `environment` is laid over this process's own; `ready_url` answers 200 once it can be used."""

    name: str
    command: tuple[str, ...]
    folder: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""
    grace_seconds: float = 5.0


class Process:
    """One started `Spec`. Ends with this process, whatever ends it; output goes to the log, or to `output` if piped."""

    def __init__(self, spec: Spec, process: "subprocess.Popen[bytes]") -> None:
        self.spec = spec
        self._process = process

    @classmethod
    def start(cls, spec: Spec, *, piped: bool = False) -> Self:
        """Start it, in `spec.folder`, which is created when it is missing, as is the log's."""
        spec.folder.mkdir(parents=True, exist_ok=True)
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        guarded = (sys.executable, "-I", "-S", str(_GUARDIAN), str(spec.grace_seconds), "--", *spec.command)
        with spec.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  the specs are our own
                guarded,
                cwd=spec.folder,
                env={**os.environ, **spec.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                start_new_session=True,
            )
        return cls(spec, process)

    @property
    def pid(self) -> int:
        """The guardian's, whose one child is what it runs."""
        return self._process.pid

    @property
    def output(self) -> IO[bytes] | None:
        """Its standard output, when it was started with `piped`."""
        return self._process.stdout

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Let go of it; the guardian then ends it. Returns at once."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def end(self) -> None:
        """End it and all that belongs to it; returns when it is gone."""
        self.ask_to_end()
        try:
            self._process.wait(self.spec.grace_seconds + _SWEEP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        return tail(self.spec.log, lines)


def tail(log: Path, lines: int) -> str:
    """The last `lines` lines, long ones cut, of a file that may be large or missing."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(line if len(line) <= _LINE else f"{line[:_LINE]} ..." for line in text.splitlines()[-lines:])
