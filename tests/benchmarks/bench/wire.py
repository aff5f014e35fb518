"""Where an HTTP/1.1 answer ends: as little of the protocol as a load driver needs."""


def extent(got: bytes) -> tuple[int, int]:
    """Where the head ends, and how long the answer is: 0 while the head is not whole, -1 where chunks say it."""
    end = got.find(b"\r\n\r\n")
    if end < 0:
        return 0, 0
    at = got.find(b"\nContent-Length: ", 0, end)  # as most write it
    if at > 0:
        return end, end + 4 + int(got[at + 17 : got.find(b"\r", at)])
    at = got.find(b"ontent-", 0, end)
    while at >= 0:
        if got[at + 7 : at + 14].lower() == b"length:":
            stop = got.find(b"\r\n", at)
            return end, end + 4 + int(got[at + 14 : stop])
        at = got.find(b"ontent-", at + 7, end)
    return end, -1
