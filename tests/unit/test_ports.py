"""Claiming ports before anything starts."""

import socket

import pytest

from stagedoor.errors import ConfigurationError, PortTaken
from stagedoor.local.ports import PortWish, bind_address, claim, url

HOST = "127.0.0.1"


def _wish(port: int, option: str = "--gateway-port") -> PortWish:
    return PortWish("the gateway", port, option)


def test_zero_chooses_different_free_ports() -> None:
    first, second = claim(HOST, [_wish(0), _wish(0)])
    assert first != second
    assert min(first, second) > 1023


def test_a_claimed_port_is_free_again_for_the_process_that_will_use_it() -> None:
    (port,) = claim(HOST, [_wish(0)])
    assert claim(HOST, [_wish(port)]) == (port,)


def test_a_taken_port_is_named_with_the_option_that_changes_it() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            claim(HOST, [_wish(port, "--mlflow-port")])
    assert str(port) in str(caught.value)
    assert "--mlflow-port" in str(caught.value)


def test_a_port_shared_by_so_reuseport_counts_as_taken() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((HOST, 0))
        server.listen()
        with pytest.raises(PortTaken):
            claim(HOST, [_wish(server.getsockname()[1])])


def test_the_same_port_twice_is_taken() -> None:
    (port,) = claim(HOST, [_wish(0)])
    with pytest.raises(PortTaken, match="--mlflow-port"):
        claim(HOST, [_wish(port), _wish(port, "--mlflow-port")])


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_is_not_called_a_taken_port(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--host") as caught:
        claim(host, [_wish(0)])
    assert not isinstance(caught.value, PortTaken)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104  data
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("models.example", "http://models.example:8000"),
    ],
)
def test_urls_lead_to_where_this_machine_can_reach_it(host: str, expected: str) -> None:
    assert url(host, 8000) == expected


def test_ipv6_addresses_are_bracketed_for_servers() -> None:
    assert bind_address("::1", 80) == "[::1]:80"
    assert bind_address("127.0.0.1", 80) == "127.0.0.1:80"
