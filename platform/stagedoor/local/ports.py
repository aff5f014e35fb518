"""Finding out, before anything starts, whether the ports can be had."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from stagedoor.errors import ConfigurationError, PortTaken


@dataclass(frozen=True, slots=True)
class PortWish:
    """A port for `what`; 0 means any free one. `option` is how the command line chooses another."""

    what: str
    port: int
    option: str


def claim(host: str, wishes: Sequence[PortWish]) -> tuple[int, ...]:
    """The ports to use, in the order of `wishes`, all different. Raises PortTaken, or ConfigurationError for a bad host.

    They are released again: the processes bind them themselves, moments later.
    """
    with ExitStack() as held:
        return tuple(_bind(host, wish, held) for wish in wishes)


def _bind(host: str, wish: PortWish, held: ExitStack) -> int:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, wish.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ConfigurationError("The host of --host is not known here. Use an address of this machine.") from error
    sock = held.enter_context(socket.socket(family, kind, protocol))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(1)
    except PermissionError as error:
        reason = f"Port {wish.port} for {wish.what} needs more rights. Choose another with {wish.option} PORT."
        raise ConfigurationError(reason) from error
    except OSError as error:
        if _is_foreign(host):
            raise ConfigurationError("The host of --host is no address of this machine.") from error
        raise PortTaken(wish.what, wish.port, wish.option) from error
    port: int = sock.getsockname()[1]
    return port


def _is_foreign(host: str) -> bool:
    """Whether not even a free port can be bound on `host`."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        try:
            sock.bind(address)
        except OSError:
            return True
    return False


def url(host: str, port: int) -> str:
    """The address at which this machine reaches a server bound to `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  a look-up, not a bind
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def bind_address(host: str, port: int) -> str:
    """`host:port` as servers take it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
