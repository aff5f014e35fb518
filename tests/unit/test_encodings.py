"""Compressed request bodies: read back as they were, or refused before they grow."""

import gzip
import os
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.codecs.encodings import (
    INLINE_BYTES,
    INLINE_PACKED_BYTES,
    MAX_FRAMES,
    MAX_WINDOW_LOG,
    decode,
    decode_inline,
)
from serving.problems import reply_for
from stagedoor.errors import BodyTooLarge, MalformedBody, UnsupportedEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 1_000_000
TEXT = b'{"inputs": [[1.0, 2.0], [3.0, 4.0]]}' * 5
GZIP, ZSTD = gzip.compress(TEXT), zstd.compress(TEXT)
PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    " GZip ": gzip.compress,
    "zstd": zstd.compress,
    "ZSTD": zstd.compress,
}
CODINGS = {"gzip": gzip.compress, "zstd": zstd.compress}


def with_window(log: int) -> bytes:
    options = {zstd.CompressionParameter.window_log: log, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    return packer.compress(TEXT) + packer.flush()


@pytest.mark.parametrize("encoding", PACKERS)
@given(parts=st.lists(st.binary(max_size=2000), min_size=1, max_size=4))
def test_a_packed_body_reads_back_as_it_was_however_many_frames_it_has(encoding: str, parts: list[bytes]) -> None:
    packed = b"".join(PACKERS[encoding](part) for part in parts)
    assert decode(packed, encoding, LIMIT) == b"".join(parts)


@pytest.mark.parametrize("encoding", CODINGS)
def test_a_body_of_many_steps_reads_back_as_it_was(encoding: str) -> None:
    parts = [os.urandom(200_000), bytes(300_000), b"", os.urandom(65_536)]
    packed = b"".join(map(CODINGS[encoding], parts))
    assert decode(packed, encoding, LIMIT) == b"".join(parts)


@pytest.mark.parametrize("encoding", [None, "", "identity", "Identity"])
def test_a_plain_body_is_the_very_same_object(encoding: str | None) -> None:
    assert decode(TEXT, encoding, 1) is TEXT


@pytest.mark.parametrize(
    "encoding", ["deflate", "br", "compress", "gzip, gzip", "zstd,gzip", "identity, gzip", "gzip;q=1", "*", "x" * 9999]
)
def test_another_coding_or_several_get_415_with_those_that_are_taken(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding) as caught:
        decode(TEXT, encoding, LIMIT)
    reply = reply_for(caught.value, "id-1")
    assert reply.status == 415
    assert dict(reply.headers)["Accept-Encoding"] == "gzip, zstd"


DAMAGED = {
    "gzip of nothing": ("gzip", b""),
    "zstd of nothing": ("zstd", b""),
    "gzip that is plain": ("gzip", TEXT),
    "zstd that is plain": ("zstd", TEXT),
    "gzip that is zlib": ("gzip", zlib.compress(TEXT)),
    "gzip that is zstd": ("gzip", ZSTD),
    "zstd that is gzip": ("zstd", GZIP),
    "gzip cut in its header": ("gzip", GZIP[:5]),
    "gzip cut in its data": ("gzip", GZIP[: len(GZIP) // 2]),
    "gzip cut in its trailer": ("gzip", GZIP[:-1]),
    "zstd cut in its data": ("zstd", ZSTD[: len(ZSTD) // 2]),
    "zstd cut by one byte": ("zstd", ZSTD[:-1]),
    "gzip with a wrong checksum": ("gzip", GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]),
    "gzip with a wrong length": ("gzip", GZIP[:-4] + b"\0\0\0\0"),
    "gzip with garbage after it": ("gzip", GZIP + b"garbage"),
    "gzip with zeros after it": ("gzip", GZIP + bytes(16)),
    "gzip with half a member after it": ("gzip", GZIP + GZIP[:12]),
    "zstd with garbage after it": ("zstd", ZSTD + b"garbage"),
    "zstd with half a frame after it": ("zstd", ZSTD + ZSTD[:6]),
    "zstd with too wide a window": ("zstd", with_window(MAX_WINDOW_LOG + 1)),
    "zstd with the widest window": ("zstd", with_window(27)),
    "gzip in too many members": ("gzip", gzip.compress(b"") * (MAX_FRAMES + 1)),
    "zstd in too many frames": ("zstd", zstd.compress(b"") * (MAX_FRAMES + 1)),
}


@pytest.mark.parametrize(("encoding", "body"), DAMAGED.values(), ids=DAMAGED)
def test_a_body_that_is_not_what_it_says_is_malformed(encoding: str, body: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        decode(body, encoding, LIMIT)
    assert encoding in str(caught.value)


def test_as_many_frames_and_as_wide_a_window_as_allowed_are_read() -> None:
    assert decode(gzip.compress(b"1") * MAX_FRAMES, "gzip", MAX_FRAMES) == b"1" * MAX_FRAMES
    assert decode(with_window(MAX_WINDOW_LOG), "zstd", LIMIT) == TEXT


@pytest.mark.parametrize("encoding", CODINGS)
def test_the_limit_is_on_the_byte(encoding: str) -> None:
    for parts in ([bytes(LIMIT)], [bytes(LIMIT - 1), b"1"], [b"", os.urandom(LIMIT)]):
        packed = b"".join(map(CODINGS[encoding], parts))
        assert len(decode(packed, encoding, LIMIT)) == LIMIT
        with pytest.raises(BodyTooLarge):
            decode(packed, encoding, LIMIT - 1)


@pytest.mark.parametrize("encoding", CODINGS)
def test_a_bomb_is_refused_before_it_grows(encoding: str) -> None:
    bomb = CODINGS[encoding](bytes(100_000_000))
    tracemalloc.start()
    try:
        for body in (bomb, CODINGS[encoding](b"1") + bomb):
            with pytest.raises(BodyTooLarge):
                decode(body, encoding, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()


def test_a_bomb_in_a_bomb_is_only_unpacked_once() -> None:
    inner = gzip.compress(bytes(10_000_000))
    assert decode(gzip.compress(inner), "gzip", LIMIT) == inner


@given(
    body=st.binary(max_size=300), encoding=st.sampled_from(list(CODINGS)), cut=st.integers(0, 400), junk=st.binary(max_size=5)
)
def test_whatever_is_done_to_the_packed_bytes_nothing_else_is_raised(body: bytes, encoding: str, cut: int, junk: bytes) -> None:
    packed = CODINGS[encoding](body)
    try:
        found = decode(packed[:cut] + junk + packed[cut + len(junk) :], encoding, 200)
    except (MalformedBody, BodyTooLarge):
        return
    assert len(found) <= 200


@pytest.mark.parametrize("encoding", CODINGS)
def test_only_what_is_small_before_and_after_is_unpacked_inline(encoding: str) -> None:
    pack = CODINGS[encoding]
    assert decode_inline(TEXT, None) is TEXT
    assert decode_inline(pack(TEXT), encoding) == TEXT
    assert decode_inline(pack(bytes(INLINE_BYTES)), encoding) == bytes(INLINE_BYTES)
    assert decode_inline(pack(bytes(INLINE_BYTES + 1)), encoding) is None
    assert decode_inline(pack(os.urandom(INLINE_PACKED_BYTES)), encoding) is None
    with pytest.raises(MalformedBody):
        decode_inline(b"plain", encoding)
