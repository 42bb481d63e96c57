"""What stands in mDNS records: any name can be announced, and none can do harm."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from zeroconf import ServiceInfo

from jsonrpc_iot import Url, UsageError
from jsonrpc_iot.transports.mdns.records import (
    SERVICES,
    TCP,
    UDP,
    Offer,
    Service,
    check_name,
    label_of,
    numbered,
    properties_of,
    read_service,
)

NAMES = st.text(min_size=1, max_size=60) | st.sampled_from(["_sub", "_", "a.b", "x" * 200, "-"])


def read(
    label: str = "lamp",
    service: str = TCP,
    port: int | None = 80,
    addresses: tuple[str, ...] = ("192.168.1.7",),
    **properties: str | bytes | None,
) -> Service | None:
    encoded = {
        key.encode(): value.encode() if isinstance(value, str) else value
        for key, value in properties.items()
    }
    return read_service(service, label, encoded, port, addresses, host="h.local")


def urls(**options: Any) -> tuple[str, ...]:
    service = read(**options)
    assert service is not None
    return service.urls


def announced(name: str, offer: Offer) -> Service | None:
    texts = {key.encode(): text.encode() for key, text in properties_of(name, offer).items()}
    service, address = SERVICES[offer.scheme], "192.168.1.7"
    return read_service(service, label_of(name), texts, offer.port, [address], host="h.local")


@given(NAMES, st.integers(1, 99))
def test_any_name_is_found_by_itself(name: str, number: int) -> None:
    try:
        name = numbered(check_name(name), number)
    except UsageError:
        assume(False)
    label = label_of(name)

    assert 0 < len(label.encode()) <= 63
    assert "." not in label
    assert not label.startswith("_")
    assert ServiceInfo(UDP, f"{label}.{UDP}").get_name() == label
    found = announced(name, Offer(scheme="ws", host="", port=8080, path="/a b", auth=True))
    assert found == Service(
        name=name, urls=("ws://192.168.1.7:8080/a%20b",), host="h.local", auth=True
    )


def test_long_names_that_begin_alike_stay_apart() -> None:
    labels = {label_of("ü" * 70 + end) for end in "ab"}

    assert len(labels) == 2
    assert all(len(label.encode()) <= 63 for label in labels)


@pytest.mark.parametrize("name", ["", "  ", "a\x1bb", "a\nb", "a\u202eb", "\ud800", "ü" * 101])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


@pytest.mark.parametrize("scheme", SERVICES)
def test_every_scheme_comes_back(scheme: str) -> None:
    found = announced("lamp", Offer(scheme=scheme, host="", port=1, path="/rpc"))

    assert found is not None
    assert Url.parse(found.urls[0]).scheme == scheme
    assert found.auth is False


def test_others_need_to_say_little() -> None:
    assert urls(service=UDP) == ("udp://192.168.1.7:80",)
    assert urls() == ("tcp://192.168.1.7:80",)
    assert urls(path="/rpc") == ("http://192.168.1.7:80/rpc",)


@pytest.mark.parametrize(
    "properties",
    [
        {"scheme": "javascript"},
        {"scheme": "unix"},
        {"scheme": "udp"},  # which is another service
        {"path": "//evil.example/rpc"},
        {"path": "@evil.example"},
        {"path": "/\x1b[2J"},
        {"path": b"/\xff"},
        {"name": "\x1b]0;owned\x07"},
        {"v": "2"},
        {"path": "/", "scheme": "http\x00"},
        {"port": 0},
        {"port": None},
        {"label": ""},
        {"label": "a\nb"},
        {"addresses": ("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "x")},
        {"addresses": ("8.8.8.8", "2001:4860:4860::8888")},  # nobody on this network
        {"addresses": ()},
    ],
    ids=repr,
)
def test_what_leads_elsewhere_is_not_there(properties: dict[str, Any]) -> None:
    assert read(**properties) is None


def test_a_path_is_no_more_than_that() -> None:
    (url,) = urls(path="/a?psk=file:/etc/passwd#@evil", scheme="https")

    parsed = Url.parse(url)
    assert (parsed.host, parsed.options) == ("192.168.1.7", {})
    assert parsed.path == "/a?psk=file:/etc/passwd#@evil"


def test_a_name_that_is_not_its_own_is_not_taken() -> None:
    found = read("other", name="lamp")

    assert found is not None
    assert found.name == "other"


def test_what_is_too_long_is_left_out() -> None:
    assert urls(path="/" + "a" * 250, junk="x" * 250) == ("tcp://192.168.1.7:80",)


def test_an_address_of_this_network_may_be_a_public_one() -> None:
    def found(*networks: str) -> Service | None:
        return read_service(UDP, "a", {}, 1, ["8.8.8.8"], host="h", networks=networks)

    assert found("8.8.8.0/24") is not None
    assert found("192.168.1.0/24") is None


def test_ipv4_comes_first_and_zones_stay() -> None:
    assert urls(addresses=("fe80::1%eth0", "10.0.0.1")) == (
        "tcp://10.0.0.1:80",
        "tcp://[fe80::1%eth0]:80",
    )


@given(
    st.text(max_size=70),
    st.dictionaries(
        st.sampled_from([b"v", b"name", b"path", b"auth", b"scheme", b"x"]) | st.binary(),
        st.none() | st.binary(max_size=255) | st.sampled_from([b"1", b"ws", b"/rpc", b"//x"]),
    ),
    st.sampled_from([TCP, UDP]),
)
def test_anything_is_a_server_nearby_or_nothing(
    label: str, properties: dict[bytes, bytes | None], service: str
) -> None:
    found = read_service(service, label, properties, 80, ["10.0.0.1"], host="h")

    if found is not None:
        (url,) = map(Url.parse, found.urls)
        assert (url.host, url.port, url.options, url.user) == ("10.0.0.1", 80, {}, "")
        assert SERVICES[url.scheme] == service
        assert label_of(found.name).lower() == label.lower() or found.name == label
        assert found.name.isprintable() or not any(char < " " for char in found.name)
