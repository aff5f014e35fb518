"""`endpoints.json`: where a running `stagedoor up` is, and tokens for it."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stagedoor.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Endpoints:
    """URLs, and tokens by role. `controller` is None while there is none. Tokens do not print."""

    mlflow: str
    gateway: str
    controller: str | None
    tokens: Mapping[str, str] = field(repr=False)

    def write(self, path: Path) -> None:
        """Replace the file as a whole; only its owner may read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".endpoints-")  # mkstemp's mode is 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=2)
                file.write("\n")
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def read_endpoints(path: Path) -> Endpoints | None:
    """What `up` wrote; None when it is not running. Raises ConfigurationError for a file that it did not write."""
    try:
        found: Any = json.loads(path.read_bytes())
        tokens = {str(role): str(token) for role, token in found["tokens"].items()}
        return Endpoints(str(found["mlflow"]), str(found["gateway"]), found["controller"], tokens)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError("endpoints.json in the state folder cannot be read. Start `stagedoor up` again.") from error
