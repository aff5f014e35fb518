"""Requests of HTTP/1 that two servers in a row could read differently, or that no client sends, and some that must pass.

The rules are those of RFC 9112; the request smuggling among them follows the published variants (a length against chunks, two
lengths, encodings that one reader knows and the other does not, chunk framing), here in the smallest form each.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

COLUMNS = ("mean radius", "mean texture", "mean area")
DATA = json.dumps({"dataframe_split": {"columns": list(COLUMNS), "data": [[14.0, 19.0, 600.0]]}}).encode()
CANARY = b"zq-raw-canary-7741"
"""Stands in every bad request: it must come back nowhere."""

PREDICT = b"POST /models/cancer/invocations"
PAGE = b"GET /livez"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def chunk(data: bytes, size: bytes = b"%x") -> bytes:
    """One chunk whose size line reads `size`."""
    return (size % len(data) if b"%" in size else size) + b"\r\n" + data + b"\r\n"


WHOLE = chunk(DATA) + b"0\r\n\r\n"


@dataclass(frozen=True)
class Raw:
    """One request. `line` holds `%b` for method and path; `framing` None means the length of the body."""

    name: str
    status: int = 400
    code: str = "request_malformed"
    line: bytes = b"%b HTTP/1.1\r\n"
    host: bytes = b"Host: a\r\n"
    fields: bytes = b""
    framing: bytes | None = None
    body: bytes = DATA
    change: Callable[[bytes], bytes] = bytes

    def head(self, start: bytes, token: str = "") -> bytes:
        """The head, to and with its blank line."""
        framing = b"Content-Length: %d\r\n" % len(self.body) if self.framing is None else self.framing
        line = self.line % start if b"%b" in self.line else self.line
        known = b"X-Known: %b\r\nContent-Type: application/json\r\nAuthorization: Bearer %b\r\n" % (CANARY, token.encode())
        return self.change(line + self.host + known + self.fields + framing + b"\r\n")

    def bytes(self, start: bytes, token: str = "") -> bytes:
        """The whole request."""
        return self.head(start, token) + self.body


def replaced(old: bytes, new: bytes, head: bytes) -> bytes:
    assert old in head
    return head.replace(old, new, 1)


def instead(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return partial(replaced, old, new)


LINES = [
    Raw("an empty line first", line=b"\r\n%b HTTP/1.1\r\n"),
    Raw("an empty line of LF first", line=b"\n%b HTTP/1.1\r\n"),
    Raw("two empty lines first", line=b"\r\n\r\n%b HTTP/1.1\r\n"),
    Raw("a space first", line=b" %b HTTP/1.1\r\n"),
    Raw("two spaces behind the method", change=instead(b" /", b"  /")),
    Raw("a tab behind the method", change=instead(b" /", b"\t/")),
    Raw("two spaces before the version", line=b"%b  HTTP/1.1\r\n"),
    Raw("a tab before the version", line=b"%b\tHTTP/1.1\r\n"),
    Raw("a space behind the version", line=b"%b HTTP/1.1 \r\n"),
    Raw("a space within the path", line=b"%b /x HTTP/1.1\r\n"),
    Raw("no version", line=b"%b\r\n"),
    *(
        Raw(f"version {v.decode()}", line=b"%b " + v + b"\r\n")
        for v in (
            b"HTTP/1.2",
            b"HTTP/2.0",
            b"HTTP/0.9",
            b"HTTP/1.01",
            b"HTTP/1",
            b"HTTP/11",
            b"http/1.1",
            b"HTTP/1,1",
            b"FTP/1.1",
        )
    ),
    Raw("a method in lower case", change=lambda head: head[:3].lower() + head[3:]),
    Raw("a method with other characters", line=b"G{T /livez HTTP/1.1\r\n"),
    Raw("a method with a digit", line=b"0%b HTTP/1.1\r\n"),
    Raw("no method", line=b" /livez HTTP/1.1\r\n"),
    Raw("no path", line=b"GET  HTTP/1.1\r\n"),
    Raw("a path without its slash", change=instead(b" /", b" ")),
    Raw("a target in absolute form", change=instead(b" /", b" http://a/")),
    Raw("a target in authority form", line=b"GET a:80 HTTP/1.1\r\n"),
    Raw("a tunnel", line=b"CONNECT a:80 HTTP/1.1\r\n"),
    Raw("a target of one asterisk", line=b"OPTIONS * HTTP/1.1\r\n"),
    Raw("a NUL in the path", line=b"%b\x00 HTTP/1.1\r\n"),
    Raw("a CR in the path", line=b"%b\r HTTP/1.1\r\n"),
    Raw("the preface of HTTP/2", line=b"PRI * HTTP/2.0\r\n", host=b""),
    Raw("a greeting of TLS", line=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"),
    Raw("a request line of 5,000 bytes", 414, "target_too_long", line=b"%b?" + b"x" * 5000 + b" HTTP/1.1\r\n"),
]

CONTROLS = (b"\x00", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\r")
FIELDS = [
    Raw("all lines end in LF", change=lambda head: head.replace(b"\r\n", b"\n")),
    Raw("the request line ends in LF", line=b"%b HTTP/1.1\n"),
    Raw("one header ends in LF", fields=b"A: b\n"),
    Raw("the last line ends in LF", change=lambda head: head[:-2] + b"\n"),
    Raw("a header ends in CR CR LF", fields=b"A: b\r\r\n"),
    Raw("a header ends in CR alone", fields=b"A: b\rC: d\r\n"),
    Raw("a line feed hides a header", fields=b"A: b\nTransfer-Encoding: chunked\r\n"),
    *(Raw(f"{c!r} in a value", fields=b"A: b" + c + b"c\r\n") for c in CONTROLS),
    *(Raw(f"{c!r} in a name", fields=b"A" + c + b"b: c\r\n") for c in (*CONTROLS, b" ", b"\t", b"(", b'"', b"\xff", b"/")),
    Raw("a value folded with a space", fields=b"A: b\r\n c\r\n"),
    Raw("a value folded with a tab", fields=b"A: b\r\n\tc\r\n"),
    Raw("a folded line of nothing", fields=b"A: b\r\n \r\n"),
    Raw("a space before the first header", host=b" Host: a\r\n"),
    Raw("an encoding folded", framing=b"Transfer-Encoding:\r\n chunked\r\n", body=WHOLE),
    Raw("a space before the colon", fields=b"A : b\r\n"),
    Raw("a tab before the colon", fields=b"A\t: b\r\n"),
    Raw("an empty name", fields=b": b\r\n"),
    Raw("no colon", fields=b"A\r\n"),
    Raw("101 headers", 431, "head_too_large", fields=b"".join(b"A%d: b\r\n" % n for n in range(96))),
    Raw("300 headers", 431, "head_too_large", fields=b"".join(b"A%d: b\r\n" % n for n in range(295))),
    Raw("a header of 17,000 bytes", 431, "head_too_large", fields=b"A: " + b"x" * 17_000 + b"\r\n"),
    Raw("a head of 70,000 bytes", 431, "head_too_large", fields=b"".join(b"A%d: %b\r\n" % (n, b"x" * 1400) for n in range(50))),
    Raw("a head without an end", 431, "head_too_large", fields=b"A: " + b"x" * 70_000, change=lambda head: head.rstrip()),
    Raw("no Host", host=b""),
    Raw("two equal Hosts", host=b"Host: a\r\nHost: a\r\n"),
    Raw("two Hosts", host=b"Host: a\r\nhost: b\r\n"),
    *(
        Raw(f"Host {h.decode()}", host=b"Host: " + h + b"\r\n")
        for h in (b"a b", b"a/b", b"u@a", b"[::1", b"a:b", b"a:123456", b"http://a", b"a\\b", b'"a"', b"a#b", b"a?b")
    ),
]

LENGTHS = [
    Raw("a length and chunks", framing=b"Content-Length: 3\r\n" + CHUNKED, body=WHOLE),
    Raw("chunks and a length", framing=CHUNKED + b"Content-Length: 3\r\n", body=WHOLE),
    Raw("chunks and no length", framing=CHUNKED + b"Content-Length:\r\n", body=WHOLE),
    Raw("two lengths", framing=b"Content-Length: %d\r\nContent-Length: 3\r\n" % len(DATA)),
    Raw("two equal lengths", framing=b"Content-Length: %d\r\n" % len(DATA) * 2),
    *(
        Raw(f"length {text!r}", framing=b"Content-Length: " + text + b"\r\n", body=b"12345")
        for text in (
            b"+5", b"-1", b"-5", b"5,5", b"5, 5", b"5;5", b"0x5", b"5_0", b"5.0", b"5e0", b"5 5", b"", b"five", b"\xb2",
            b"\xef\xbc\x95", b"18446744073709551621", b"1" * 30,
        )
    ),
    *(
        Raw(f"encoding {text!r}", framing=b"Transfer-Encoding: " + text + b"\r\n", body=WHOLE)
        for text in (
            b"xchunked", b"chunkedx", b"cow", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked",
            b"chunked,", b", chunked", b"chunked;q=1", b'"chunked"', b"chunked identity", b"", b"\x0bchunked", b"chunke\xc4",
        )
    ),
    Raw("an encoding and a length", framing=b"Transfer-Encoding: identity\r\nContent-Length: %d\r\n" % len(DATA)),
    *(
        Raw(f"two encodings, {a!r} and {b!r}", framing=b"Transfer-Encoding: %b\r\n" * 2 % (a, b), body=WHOLE)
        for a, b in (
            (b"chunked", b"chunked"), (b"chunked", b"identity"), (b"identity", b"chunked"), (b"chunked", b""),
            (b"x", b"chunked"),
        )
    ),
    Raw("chunks in HTTP/1.0", line=b"%b HTTP/1.0\r\n", framing=CHUNKED, body=WHOLE),
    Raw("a space before an encoding's colon", framing=b"Transfer-Encoding : chunked\r\n", body=WHOLE),
    Raw("a NUL in an encoding's name", framing=b"Transfer\x00-Encoding: chunked\r\n", body=WHOLE),
]  # fmt: skip

OVER_64_BITS = b"1" + b"%016x"
CHUNKS = [
    *(
        Raw(f"chunk size {size.decode('latin-1')!r}", framing=CHUNKED, body=chunk(DATA, size) + b"0\r\n\r\n")
        for size in (
            b"0x%x", b"-%x", b"+%x", b" %x", b"%x ", b"\t%x", b"", b"g", b"%x,", b"%x_0", b"%xh", b"\x00%x", b"%x\x00",
            OVER_64_BITS, b"0" * 20 + b"%x", b"%x;a\nb", b"%x;a\rb", b"%x;a\x00", b"%x;" + b"a" * 300, b"%x\n", b"%x\r",
        )
    ),
    Raw("LF behind a size", framing=CHUNKED, body=WHOLE.replace(b"\r\n", b"\n", 1)),
    Raw("LF everywhere in chunks", framing=CHUNKED, body=WHOLE.replace(b"\r\n", b"\n")),
    Raw("LF behind the data", framing=CHUNKED, body=b"%x\r\n%b\n0\r\n\r\n" % (len(DATA), DATA)),
    Raw("nothing behind the data", framing=CHUNKED, body=b"%x\r\n%b0\r\n\r\n" % (len(DATA), DATA)),
    Raw("more data than the size says", framing=CHUNKED, body=b"%x\r\n%bx\r\n0\r\n\r\n" % (len(DATA), DATA)),
    Raw("less data than the size says", framing=CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\nGET /" % (len(DATA) + 3, DATA)),
    Raw("a size never ends", framing=CHUNKED, body=b"1;" + b"a" * 5000),
    *(
        Raw(f"trailer {line!r}", framing=CHUNKED, body=chunk(DATA) + b"0\r\n" + line + b"\r\n\r\n")
        for line in (
            b"Content-Length: 5", b"transfer-encoding: chunked", b"Host: b", b"Authorization: x", b"A : b", b"A", b": b",
            b" A: b", b"A: b\nC: d", b"A: b\rC: d", b"A: \x00", b"A: " + b"x" * 300,
        )
    ),
    Raw("a thousand trailers", framing=CHUNKED, body=chunk(DATA) + b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n"),
    Raw("tiny chunks with long extensions", framing=CHUNKED, body=chunk(b" ", b"%x;" + b"a" * 200) * 200),
]  # fmt: skip

STALLED = [
    Raw("a body that breaks off", 408, "request_timeout", framing=b"Content-Length: %d\r\n" % (len(DATA) + 1)),
    Raw("chunks without their last CR LF", 408, "request_timeout", framing=CHUNKED, body=chunk(DATA) + b"0\r\n"),
    Raw("a chunk that breaks off", 408, "request_timeout", framing=CHUNKED, body=b"fff\r\n" + DATA),
    Raw("a head that breaks off", 408, "request_timeout", body=b"", change=lambda head: head[:-2]),
]

GOOD = [
    Raw("a usual request", 200),
    Raw("a length with leading zeros and blanks", 200, framing=b"Content-Length: \t00%d \t\r\n" % len(DATA)),
    Raw("names and encoding in other cases", 200, host=b"hOST: a\r\n", framing=b"TRANSFER-encoding: Chunked\r\n", body=WHOLE),
    Raw(
        "chunks with an extension and a trailer",
        200,
        framing=CHUNKED,
        body=chunk(DATA, b'%X;a="b"') + b"00\r\nX-Sum: 1\r\n\r\n",
    ),
    Raw("chunks of one byte", 200, framing=CHUNKED, body=b"".join(chunk(b"%c" % c) for c in DATA) + b"0\r\n\r\n"),
    Raw("HTTP/1.0 without a Host", 200, line=b"%b HTTP/1.0\r\n", host=b""),
    Raw("a Host with an address and a port", 200, host=b"Host: [::1]:8000\r\n"),
    Raw("an empty Host", 200, host=b"Host:\r\n"),
    Raw("values of Latin-1 and of nothing", 200, fields=b"A: \xe9\r\nB:\r\nC:\td e \t\r\n"),
    Raw("100 headers", 200, fields=b"".join(b"A%d: b\r\n" % n for n in range(95))),
    Raw("a request line of 4,000 bytes", 200, line=b"%b?" + b"x=" * 1900 + b" HTTP/1.1\r\n"),
]

BAD = [*LINES, *FIELDS, *LENGTHS, *CHUNKS]
