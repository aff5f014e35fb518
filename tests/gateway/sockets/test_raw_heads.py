"""The list of raw requests, told by the readers of the lane alone: what is refused, with which error, and how early."""

import pytest

from serving.lane.chunked import ChunkedBody
from serving.lane.strict import read_head
from stagedoor.errors import Rejected
from stagedoor.problems import code_of, problem_of

from .raw_cases import BAD, CANARY, CHUNKS, GOOD, PAGE, PREDICT, Raw


def read(raw: Raw, start: bytes) -> tuple[bytes, bytes | None]:
    """The body of a request and what follows it, as the lane reads both."""
    data = raw.bytes(start)
    head = read_head(data)
    assert head is not None
    rest = data[head.consumed :]
    return ChunkedBody().feed(rest) if head.has_chunked else (rest[: head.content_length], rest[head.content_length :])


@pytest.mark.parametrize("start", [PREDICT, PAGE], ids=["predict", "page"])
@pytest.mark.parametrize("raw", BAD, ids=lambda raw: raw.name)
def test_what_is_wrong_is_refused_with_its_error(raw: Raw, start: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        read(raw, start)
    assert (code_of(refused.value), problem_of(refused.value).status) == (raw.code, raw.status)
    assert CANARY.decode() not in str(refused.value)


@pytest.mark.parametrize("raw", [raw for raw in BAD if raw not in CHUNKS], ids=lambda raw: raw.name)
def test_nothing_that_follows_a_bad_head_makes_it_good(raw: Raw) -> None:
    data = raw.head(PREDICT)
    for end in range(0, len(data), 7 + len(data) // 200):
        try:
            assert read_head(data[:end]) is None
        except Rejected:
            return  # a beginning is refused only where the whole is, which the other test shows
    with pytest.raises(Rejected):
        assert read_head(data)


@pytest.mark.parametrize("raw", GOOD, ids=lambda raw: raw.name)
def test_what_is_unusual_and_right_is_read(raw: Raw) -> None:
    _, rest = read(raw, PREDICT)
    assert rest == b""
