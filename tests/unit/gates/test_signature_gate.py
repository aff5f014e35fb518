"""OpenSSF model signatures, made and verified by the library itself."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from registry_hooks.gates import Case, Result
from registry_hooks.gates.integrity import Signature
from stagedoor.errors import InvalidTag

MakeCase = Callable[..., Case]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with `release.pub` and `other.pub`; the private keys lie beside it."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("release", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        (tmp_path / name).write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return folder


@pytest.fixture
def signed(tmp_path: Path, keys: Path) -> Path:
    """A version with `model.sig` by the key `release`."""
    from model_signing import hashing, signing

    folder = tmp_path / "version"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "weights").write_bytes(b"1234")
    config = signing.Config().use_elliptic_key_signer(private_key=tmp_path / "release")
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[folder / "model.sig"], ignore_git_paths=False))
    config.sign(folder, folder / "model.sig")
    return folder


@pytest.fixture
def ask(case: MakeCase, keys: Path, signed: Path) -> Callable[..., Result]:
    def asked(settings: str | None = "key=release.pub", **changes: Any) -> Result:
        return Signature()(case(settings=settings, **({"folder": signed, "keys": keys} | changes)))

    return asked


def test_a_signature_by_a_trusted_key_passes(ask: Callable[..., Result]) -> None:
    assert ask().outcome == "pass"
    assert ask(None).outcome == "pass"


def test_a_signature_by_another_key_fails(ask: Callable[..., Result]) -> None:
    assert ask("key=other.pub").outcome == "fail"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "weights").write_bytes(b"1235"),
        lambda folder: (folder / "more").write_bytes(b"1234"),
        lambda folder: (folder / "weights").unlink(),
        lambda folder: (folder / "model.sig").write_text("{}"),
        lambda folder: (folder / "model.sig").write_text("no JSON"),
        lambda folder: (folder / "model.sig").unlink(),
    ],
)
def test_altered_files_and_missing_or_broken_signatures_fail(
    ask: Callable[..., Result], signed: Path, damage: Callable[[Path], Any]
) -> None:
    damage(signed)
    assert ask().outcome == "fail"


def test_a_signature_can_stand_in_a_tag_of_the_version(ask: Callable[..., Result], case: MakeCase, signed: Path) -> None:
    text = (signed / "model.sig").read_text()
    (signed / "model.sig").unlink()
    candidate = case(version_tags={"stagedoor.signature": text}).candidate
    assert ask(candidate=candidate).outcome == "pass"


@pytest.mark.parametrize("name", ["../release", "/etc/passwd", "none.pub", "", ".."])
def test_a_key_is_one_of_the_operators_or_none(ask: Callable[..., Result], name: str) -> None:
    result = ask(f"key={name}")
    assert result.outcome == "error"
    assert "control/keys" in result.reason


def test_the_signers_are_named_as_the_tag_says(ask: Callable[..., Result]) -> None:
    for text in ("identity=me", "key=a identity=b issuer=c", "release.pub", "keys=release.pub", ""):
        with pytest.raises(InvalidTag, match=r"write it like key=release.pub"):
            ask(text)


def test_without_the_files_or_the_library_nothing_passes(ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(folder=None).outcome == "error"
    monkeypatch.setitem(sys.modules, "model_signing", None)
    result = ask()
    assert result.outcome == "error"
    assert "stagedoor[signing]" in result.reason
