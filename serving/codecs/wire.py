"""What goes into a codec and comes out of it."""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

from serving.schema import Signature
from serving.values import Inputs, Outputs
from stagedoor.errors import UnsupportedMediaType

JSON = "application/json"
OCTETS = "application/octet-stream"


class Wire(NamedTuple):
    """A request body with what describes it. `content_type` is "" where there is none; names in `headers` are lower case."""

    body: bytes
    content_type: str
    headers: Mapping[str, str]


class Decoded(NamedTuple):
    """Checked inputs; `reply` is what the same codec's `encode` needs to know of the request."""

    inputs: Inputs
    reply: object = None


class Answer(NamedTuple):
    """What the answer says about itself. `started` is when the request came, in seconds of the performance counter."""

    model: str
    version: str
    request_id: str
    started: float

    @property
    def elapsed_ms(self) -> float:
        """What the request has taken until now."""
        return (time.perf_counter() - self.started) * 1000


class Encoded(NamedTuple):
    """A response body with its content type and the headers that only the protocol knows."""

    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Codec(Protocol):
    """One protocol. Codecs keep no state."""

    def decode(self, wire: Wire, signature: Signature, max_rows: int) -> Decoded:
        """Read and check a request. Raises leaves of Rejected, and nothing else."""

    def encode(self, outputs: Outputs, decoded: Decoded, signature: Signature, answer: Answer) -> Encoded:
        """Write the answer.

        Raises InvalidOutput for what cannot be written, and InvalidRequest where the caller asked for an output that the model
        does not have.
        """


def media_type(content_type: str, accepted: tuple[str, ...]) -> str:
    """The bare media type in lower case. Raises UnsupportedMediaType unless it is accepted, in UTF-8 if it says so."""
    name, parameters = _parsed(content_type)
    if name not in accepted or any(parameter != "charset=utf-8" for parameter in parameters):
        raise UnsupportedMediaType(kind for kind in accepted if kind)
    return name


@lru_cache(maxsize=64)
def _parsed(content_type: str) -> tuple[str, tuple[str, ...]]:
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    return name, tuple(parameter.replace('"', "") for parameter in parameters if parameter)
