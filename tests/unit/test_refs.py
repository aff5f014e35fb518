import pytest

from stagedoor.domain.refs import ModelRef, check_alias, check_name, check_version
from stagedoor.errors import MalformedName

GOOD = {
    "fraud": ModelRef("fraud"),
    "fraud@champion": ModelRef("fraud", alias="champion"),
    "fraud/7": ModelRef("fraud", version="7"),
    "fraud/9223372036854775807": ModelRef("fraud", version="9223372036854775807"),
    "fraud/Production": ModelRef("fraud", stage="Production"),
    "fraud/production": ModelRef("fraud", stage="Production"),
    "caf\u00e9 & co + 1": ModelRef("caf\u00e9 & co + 1"),
    "a.b-c_d": ModelRef("a.b-c_d"),
    "x" * 250: ModelRef("x" * 250),
}


@pytest.mark.parametrize("text", GOOD)
def test_good_references_are_read_and_written_the_same(text: str) -> None:
    ref = ModelRef.parse(text)
    assert ref == GOOD[text]
    assert ModelRef.parse(str(ref)) == ref


BAD = [
    "",
    " ",
    " fraud",
    "fraud ",
    ".",
    "..",
    "../",
    "../fraud",
    "..%2ffraud",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "fraud%00",
    "fra\0ud",
    "fra\nud",
    "fra\x7fud",
    "fra\u200bud",
    "fra\ud800ud",
    "C:\\fraud",
    "C:fraud",
    "x" * 251,
    "x" * 300,
    "a?x",
    "a#b",
    "a@b@c",
    "a@",
    "@b",
    "models:/x",
    "a//1",
    "a/",
    "/a",
    "a/01",
    "a/-1",
    "a/+1",
    "a/0",
    "a/1.0",
    "a/9223372036854775808",
    "a/99999999999999999999",
    "a/latest",
    "a/\u0661",
    "a/1\n",
    "a/v1",
    "a@latest",
    "a@Latest",
    "a@v1",
    "a@b\n",
    "a@b c",
    "a@" + "x" * 256,
    "a@b/1",
]


@pytest.mark.parametrize("text", BAD)
def test_what_can_name_nothing_is_malformed_and_never_quoted(text: str) -> None:
    with pytest.raises(MalformedName) as caught:
        ModelRef.parse(text)
    assert len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "plain", "pinned"), [("a", True, False), ("a@b", False, False), ("a/1", False, True), ("a/staging", False, True)]
)
def test_a_version_or_stage_is_pinned_and_a_bare_name_is_plain(text: str, plain: bool, pinned: bool) -> None:  # noqa: FBT001
    ref = ModelRef.parse(text)
    assert (ref.is_plain, ref.is_pinned) == (plain, pinned)


def test_checks_give_back_what_they_accept() -> None:
    assert (check_name("fraud"), check_alias("champion"), check_version("7")) == ("fraud", "champion", "7")
