"""Laws of reading paths: no spelling of a path leads to another place than its plain one, and none is read twice."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.target import checked_path
from stagedoor.errors import MalformedName

PLAIN = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="%\\?#"), min_size=1, max_size=40).map(
    lambda text: "/" + text
)


def environ(path: str, sent: str) -> dict[str, str]:
    return {"PATH_INFO": path.encode().decode("latin-1"), "RAW_URI": sent}


def spell(path: str, encoded: list[bool]) -> str:
    """`path` with some of its bytes percent-encoded, as any client may; slashes and odd bytes apart."""
    flags = iter(encoded + [True] * 200)
    return "".join(
        chr(byte) if chr(byte) == "/" or (not next(flags) and chr(byte).isalnum() and byte < 128) else f"%{byte:02X}"
        for byte in path.encode()
    )


@given(PLAIN, st.lists(st.booleans(), max_size=40))
def test_all_spellings_of_a_path_are_read_as_one(path: str, encoded: list[bool]) -> None:
    plain = checked_path(environ(path, quote(path, safe="/")))
    assert checked_path(environ(path, spell(path, encoded))) == plain
    assert unquote(plain) == path


@given(
    PLAIN, st.sampled_from(["%2f", "%2F", "%5c", "%5C", "%25", "%00", "%0a", "%0D", "%7f", "%ff", "%c3"]), st.integers(0, 40)
)
def test_a_hidden_separator_anywhere_is_refused(path: str, hidden: str, place: int) -> None:
    sent = quote(path, safe="/")
    # Between two characters, never inside a percent code or a letter of several bytes.
    cut = len(quote(path[: 1 + place % len(path)], safe="/"))
    with pytest.raises(MalformedName):
        checked_path(environ(path, sent[:cut] + hidden + sent[cut:]))


@given(st.binary(max_size=60))
def test_any_bytes_are_either_read_or_refused(target: bytes) -> None:
    text = target.decode("latin-1")
    try:
        path = checked_path({"PATH_INFO": text, "RAW_URI": text})
    except MalformedName:
        return
    assert path.isascii()
