"""The addresses of this machine."""

from ipaddress import ip_address, ip_network

import ifaddr
import pytest

from jsonrpc_iot.transports.mdns.announcing import _addresses
from jsonrpc_iot.transports.mdns.link import near_networks, own_addresses, own_networks

pytestmark = pytest.mark.anyio


def adapter(*ips: tuple[object, int]) -> ifaddr.Adapter:
    found = [ifaddr.IP(ip, prefix, "eth0") for ip, prefix in ips]  # type: ignore[arg-type]
    return ifaddr.Adapter("eth0", "eth0", found)


LO = adapter(("127.0.0.1", 8), (("::1", 0, 0), 128))
ETH = adapter(("192.0.2.7", 24), (("2001:db8::7", 0, 0), 64))


async def test_addresses_that_others_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [LO, ETH])

    assert near_networks() == ["127.0.0.0/8", "::1/128", "192.0.2.0/24", "2001:db8::/64"]
    assert await _addresses("0.0.0.0") == own_addresses(4) == ["192.0.2.7"]
    assert await _addresses("::") == own_addresses(6) == ["2001:db8::7"]
    assert await _addresses("192.0.2.7") == ["192.0.2.7"]
    assert await _addresses("fe80::1%eth0") == ["fe80::1"]
    assert set(await _addresses("localhost")) <= {"127.0.0.1", "::1"}


def test_a_machine_that_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [LO])

    assert own_addresses(4) == ["127.0.0.1"]


def test_the_real_ones() -> None:
    networks = [ip_network(each) for each in near_networks()]
    addresses = [ip_address(each.partition("/")[0]) for each in own_networks()]

    assert ip_address("127.0.0.1") in addresses
    assert all(address in network for address, network in zip(addresses, networks, strict=True))
