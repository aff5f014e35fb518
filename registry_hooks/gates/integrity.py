"""Is it what was registered? The digest, and a signature of the files where one is asked for."""

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Final

from registry_hooks.gates.case import Case, Result
from registry_hooks.gates.wording import Words
from stagedoor import names

SIGNATURE_FILE: Final = "model.sig"
MAX_SIGNATURE: Final = 16 * 1024 * 1024


class Digest:
    """The files are those whose SHA-256 is recorded in `stagedoor.sha256`; where none is, this one is to be recorded.

    Evidence: `sha256`, and whether it is `recorded` already.
    """

    name: ClassVar = "digest"
    optional: ClassVar = False

    def __call__(self, case: Case) -> Result:
        """See Gate."""
        if case.examination is None:
            return (
                Result(case.trouble.outcome, case.trouble.reason) if case.trouble else Result("error", "It was not examined.")
            )
        digest = case.examination.digest
        recorded = case.candidate.tags.get(names.TAG_SHA256)
        if recorded is None:
            return Result("pass", "Its digest is known now.", {"sha256": digest, "recorded": False})
        if recorded != digest:
            return Result(
                "fail",
                f"The files are not those whose digest the tag {names.TAG_SHA256} records. Register the model anew.",
                {"sha256": digest, "recorded": True},
            )
        return Result("pass", "The files are those that were recorded.", {"sha256": digest, "recorded": True})


class Signature:
    """An OpenSSF model signature (`model-signing`) by a key that the operator trusts, or by an identity at an OIDC issuer.

    `stagedoor.gate.signature = key=release.pub` (a file in the state folder's `control/keys`), or
    `identity=ci@example.com issuer=https://token.example.com`. The signature is the file `model.sig` among the version's
    files, ignored when they were signed, or the version's tag `stagedoor.signature`.
    """

    name: ClassVar = "signature"
    _EXAMPLE: ClassVar = "key=release.pub, or identity=ci@example.com issuer=https://token.example.com"

    def __call__(self, case: Case) -> Result:
        """See Gate. Reads all files; asks Sigstore's public services where an identity is wanted."""
        if case.settings is None:
            return Result("pass", "No signature is asked for.", {"asked": False})
        words = Words.parse(self.name, case.settings, self._EXAMPLE, {"key", "identity", "issuer"})
        words.only()
        if set(words.values) not in ({"key"}, {"identity", "issuer"}):
            raise words.wrong()
        if case.folder is None:
            return Result("error", "The version's files are not here to be verified. It will be tried again.")
        try:
            from model_signing import verifying  # noqa: PLC0415  an extra
        except ImportError:
            return Result("error", "Model signatures need the extra `signing`: pip install 'stagedoor[signing]'.")
        config: Any = verifying.Config()  # type: ignore[no-untyped-call]
        if "key" in words.values:
            key = _key(case.keys, words.values["key"])
            if key is None:
                return Result("error", "The key is not in the folder control/keys of the state folder. Put it there.")
            config.use_elliptic_key_verifier(public_key=key)
        else:
            config.use_sigstore_verifier(identity=words.values["identity"], oidc_issuer=words.values["issuer"])
        return _verify(config, case.folder, case.candidate.tags.get(names.TAG_SIGNATURE), dict(words.values))


def _key(folder: Path | None, name: str) -> Path | None:
    """A file of the operator's: whoever writes tags chooses among them, and can name no other file."""
    path = folder / name if folder is not None and Path(name).name == name else None
    return path if path is not None and path.is_file() else None


def _verify(config: Any, folder: Path, tag: str | None, by: dict[str, str]) -> Result:  # noqa: ANN401  of a library that may be absent
    with tempfile.TemporaryDirectory(prefix="stagedoor-") as scratch:
        file = folder / SIGNATURE_FILE
        if tag is not None:
            file = Path(scratch) / SIGNATURE_FILE
            file.write_text(tag, "utf-8")
        if not file.is_file():
            return Result(
                "fail",
                f"It has no signature. Sign its files as {SIGNATURE_FILE}, or put one into the tag {names.TAG_SIGNATURE}.",
            )
        if file.stat().st_size > MAX_SIGNATURE:
            return Result("fail", "Its signature is larger than any signature. Sign its files again.")
        try:
            json.loads(file.read_bytes())
            config.verify(folder, file)
        except Exception as error:  # noqa: BLE001  the library and cryptography raise their own kinds: none of them is a pass
            return Result(
                "fail", f"The signature does not hold for these files and this signer ({type(error).__name__}). Sign it again."
            )
    return Result("pass", "The signature holds.", {"asked": True, **by})
