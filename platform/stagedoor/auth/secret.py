"""The HS256 signing secret: configured, or generated once for the state folder."""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from stagedoor.errors import ConfigurationError
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

MIN_SECRET_BYTES: Final = 32


def check_secret(secret: bytes, where: str) -> bytes:
    """Return `secret` if it is long enough, else raise ConfigurationError that names `where` it came from."""
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"{where} is shorter than {MIN_SECRET_BYTES} bytes. Generate one with `openssl rand -base64 48`, "
            "or leave it out to have one generated."
        )
    return secret


def signing_secret(settings: Settings) -> bytes | None:
    """The secret that signs and verifies HS256 tokens, or None where only public keys are in use.

    Generates one where no key setting is made, or HS256 is asked for by name. Raises ConfigurationError.
    """
    if settings.token_algorithms and "HS256" not in settings.token_algorithms:
        return None
    if settings.token_secret is not None:
        return check_secret(settings.token_secret.get_secret_value().encode(), "STAGEDOOR_TOKEN_SECRET")
    has_public = bool(settings.token_public_keys) or settings.token_jwks_url is not None
    if "HS256" in settings.token_algorithms or not (settings.token_algorithms or has_public):
        return generated_secret(StatePaths(settings.state_dir).secret)
    return None


def generated_secret(path: Path) -> bytes:
    """Read the secret at `path`; the first of all processes to come writes it, mode 0600. Raises ConfigurationError."""
    try:
        if not path.exists():
            _write_once(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(
                f"Others may read {path.name} in the state folder. Run `chmod 600` on it, and replace it if it leaked."
            )
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"{path.name} in the state folder cannot be read or written. Check who owns the folder STAGEDOOR_STATE_DIR."
        ) from error
    return check_secret(secret, f"{path.name} in the state folder")


def _write_once(path: Path) -> None:
    """Publish a whole file under a name that nobody has taken yet: linking fails where renaming would overwrite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(48).encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
