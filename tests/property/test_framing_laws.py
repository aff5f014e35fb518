"""Where a request ends must not depend on who reads it, nor on how its bytes were cut on the way."""

import re
from itertools import pairwise

import h11
from gunicorn_h1c import H1CProtocol
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.lane.chunked import ChunkedBody
from serving.lane.strict import read_head
from stagedoor.errors import HeadTooLarge, TargetTooLong
from stagedoor.problems import MalformedRequest

law = settings(deadline=None)  # how long an example takes is up to what else runs here
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
GRAMMAR = re.compile(rb"[A-Z]+ /[!-~\x80-\xff]* HTTP/1\.[01]\r\n(?:" + TOKEN + rb":[\t -~\x80-\xff]*\r\n)*\r\n")
"""A head as RFC 9112 has it, bytes above 127 in a target apart."""

GOOD_HEADS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /models/fraud/invocations?x=1 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX-Empty:\r\nB:\t c \r\n\r\n",
    b"POST /predict HTTP/1.0\r\nContent-Type: text/csv\r\nContent-Length: 0\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n",
)
NASTY = (
    b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\t", b" ", b"\t", b"\x00", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b",", b";",
    b"/", b"\r\nHost: b", b"\r\nTransfer-Encoding: chunked", b"\r\nContent-Length: 7", b"HTTP/1.1", b"0", b"a",
)  # fmt: skip


def harmed(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`data` after each edit (where, how many bytes go, what comes in their place)."""
    for where, gone, new in edits:
        at = where % (len(data) + 1)
        data = data[:at] + new + data[at + gone :]
    return data


edits = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), st.sampled_from(NASTY)), min_size=1, max_size=3)


@law
@given(st.sampled_from(GOOD_HEADS), edits)
@example(GOOD_HEADS[0], [(0, 0, b"\r\n")])
@example(GOOD_HEADS[0], [(14, 2, b"\n")])
@example(GOOD_HEADS[0], [(16, 0, b" ")])
@example(GOOD_HEADS[0], [(0, 0, b"0")])
@example(GOOD_HEADS[1], [(75, 0, b"\r\n ")])
def test_a_head_that_is_taken_fits_the_grammar_and_ends_where_its_first_blank_line_does(
    good: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    data = harmed(good, edits)
    try:
        head = read_head(data)
    except (MalformedRequest, HeadTooLarge, TargetTooLong):
        return
    if head is None:
        assert b"\r\n\r\n" not in data
        return
    assert data[: head.consumed].endswith(b"\r\n\r\n")
    assert data.index(b"\r\n\r\n") + 4 == head.consumed
    assert GRAMMAR.fullmatch(data[: head.consumed])
    names = [name for name, _ in head.asgi_headers]
    framing = [value for name, value in head.asgi_headers if name in {b"content-length", b"transfer-encoding"}]
    assert len(framing) <= 1
    assert all(re.fullmatch(rb"(?i)\d{1,15}|chunked", value) for value in framing)
    assert names.count(b"host") == 1 or (head.minor_version == 0 and b"host" not in names)


names = st.from_regex(re.compile(TOKEN), fullmatch=True).filter(
    lambda name: name.lower() not in {b"host", b"content-length", b"transfer-encoding", b"content-type"}
)
values = st.from_regex(rb"[\t -~\x80-\xff]{0,30}", fullmatch=True)
paths = st.from_regex(rb"/[!-~]{0,30}", fullmatch=True)


@law
@given(
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"FOO"]), paths, st.lists(st.tuples(names, values), max_size=20), st.binary()
)
def test_a_head_by_the_grammar_is_taken_and_understood(
    method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    whole = b"%b %b HTTP/1.1\r\nHost: a\r\n" % (method, path)
    whole += b"".join(b"%b:%b\r\n" % field for field in fields) + b"\r\n"
    head = read_head(whole + rest)
    assert head is not None
    assert (head.method, head.path, head.consumed) == (method, path, len(whole))
    assert head.asgi_headers[1:] == [(name.lower(), value.strip(b" \t")) for name, value in fields]


@law
@given(st.sampled_from(GOOD_HEADS), st.integers(0, 200))
def test_a_head_is_never_taken_before_its_end_nor_refused_for_it(good: bytes, size: int) -> None:
    assert read_head(good[: min(size, len(good) - 1)]) is None


def read(pieces: list[bytes]) -> tuple[bytes, bytes | None] | None:
    """What comes of a body in pieces: its data and what follows; None in place of both where it is malformed."""
    body = ChunkedBody()
    whole = b""
    try:
        for number, piece in enumerate(pieces):
            data, rest = body.feed(piece)
            whole += data
            if rest is not None:
                return whole, rest + b"".join(pieces[number + 1 :])
    except MalformedRequest:
        return None
    return whole, None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b", b'%x;a="b c"', b"%x;"])
chunks = st.lists(st.tuples(st.binary(min_size=1, max_size=20), sizes), max_size=6)
trailers = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A:\r\nB: c\r\n"])
places = st.lists(st.integers(0, 400), max_size=12)


def framed(parts: list[tuple[bytes, bytes]], trailer: bytes) -> bytes:
    return b"".join(size % len(data) + b"\r\n" + data + b"\r\n" for data, size in parts) + b"0\r\n" + trailer + b"\r\n"


@law
@given(chunks, trailers, st.binary(max_size=20), places)
def test_a_chunked_body_comes_out_as_it_was_and_what_follows_is_not_touched(
    parts: list[tuple[bytes, bytes]], trailer: bytes, rest: bytes, places: list[int]
) -> None:
    wanted = b"".join(data for data, _ in parts), rest
    assert read(cut(framed(parts, trailer) + rest, places)) == wanted


@law
@given(chunks, trailers, edits, places)
def test_the_outcome_of_any_bytes_is_the_same_however_they_are_cut(
    parts: list[tuple[bytes, bytes]], trailer: bytes, edits: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    data = harmed(framed(parts, trailer), edits)
    assert read(cut(data, places)) == read([data])
    assert read([data[i : i + 1] for i in range(len(data))]) == read([data])


@law
@given(chunks, trailers, edits)
def test_what_is_taken_is_taken_alike_by_another_reader(
    parts: list[tuple[bytes, bytes]], trailer: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    data = harmed(framed(parts, trailer), edits)
    ours = read([data])
    if ours is None or ours[1] is None:
        return
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    assert isinstance(reader.next_event(), h11.Request)
    theirs = b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        theirs += event.data
    assert ours == (theirs, reader.trailing_data[0])


@law
@given(chunks, trailers, edits, st.binary(max_size=20))
def test_what_is_taken_is_taken_alike_by_the_reader_it_is_handed_to(
    parts: list[tuple[bytes, bytes]], trailer: bytes, edits: list[tuple[int, int, bytes]], rest: bytes
) -> None:
    data = harmed(framed(parts, trailer), edits) + rest
    ours = read([data])
    if ours is None or ours[1] is None:
        return
    theirs: list[bytes] = []
    reader = H1CProtocol(on_body=theirs.append)
    reader.feed(GOOD_HEADS[3] + data[: len(data) - len(ours[1])])
    assert (b"".join(theirs), reader.is_complete, reader.remaining()) == (ours[0], True, b"")
