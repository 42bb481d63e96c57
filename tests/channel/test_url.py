"""URLs taken apart, and what is said of those that make no sense."""

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from jsonrpc_iot import InvalidUrl
from jsonrpc_iot.channel.url import Url, host_port, mask
from jsonrpc_iot.trust.keys import bearer_token, key_text


class Options(Struct, frozen=True):
    max: int | None = None
    dir: str = ""
    eager: bool = False
    wait: Annotated[float, Meta(gt=0)] = 1.0
    role: Literal["mcu", "module"] = "mcu"


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path"),
    [
        ("tcp://127.0.0.1:8805", "tcp", "127.0.0.1", 8805, ""),
        ("tcp://127.0.0.1", "tcp", "127.0.0.1", None, ""),
        ("tcp://127.0.0.1:0", "tcp", "127.0.0.1", 0, ""),
        ("TCP://Lamp.Local:1/", "tcp", "Lamp.Local", 1, "/"),
        ("tcp://[::1]:8805", "tcp", "::1", 8805, ""),
        ("udp://[::]", "udp", "::", None, ""),
        ("gatt://AA:BB:cc:DD:EE:FF", "gatt", "AA:BB:cc:DD:EE:FF", None, ""),
        ("gatt://00:11:22:33:44:55/", "gatt", "00:11:22:33:44:55", None, "/"),
        ("gatt://Kitchen%20lamp%3A", "gatt", "Kitchen lamp:", None, ""),
        ("gatt+bumble://usb:0", "gatt+bumble", "usb:0", None, ""),
        ("gatt+bumble://usb:0a12:0001", "gatt+bumble", "usb:0a12:0001", None, ""),
        ("gatt+bumble://unix:/run/radio.sock", "gatt+bumble", "unix:", None, "/run/radio.sock"),
        ("gatt+bumble://unix:@radio", "gatt+bumble", "unix:@radio", None, ""),
        ("gatt+bumble://tcp-client:%5B::1%5D:9", "gatt+bumble", "tcp-client:[::1]:9", None, ""),
        ("gatt+bumble://tcp-client:h:9100", "gatt+bumble", "tcp-client:h:9100", None, ""),
        ("gatt+bumble://usb:%5Bdriver=rtk%5D0", "gatt+bumble", "usb:[driver=rtk]0", None, ""),
        ("gatt+bumble://ws-client:ws://h:1/", "gatt+bumble", "ws-client:ws:", None, "//h:1/"),
        ("udp://[fe80::1%eth0]:5", "udp", "fe80::1%eth0", 5, ""),
        ("pipe://Lamp", "pipe", "Lamp", None, ""),
        ("pipe://a%20b", "pipe", "a b", None, ""),
        ("unix:///run/lamp.sock", "unix", "", None, "/run/lamp.sock"),
        ("unix:///run/a%20b%3F.sock", "unix", "", None, "/run/a b?.sock"),
        ("memory://test", "memory", "test", None, ""),
        ("uart+pty://", "uart+pty", "", None, ""),
        ("uart:///dev/ttyUSB0", "uart", "", None, "/dev/ttyUSB0"),
        ("mqtt://me@broker:1883/path/to/rpc", "mqtt", "broker", 1883, "/path/to/rpc"),
        ("http://[2001:db8::1]/rpc", "http", "2001:db8::1", None, "/rpc"),
    ],
)
def test_a_url_has_parts(text: str, scheme: str, host: str, port: int | None, path: str) -> None:
    url = Url.parse(text)
    assert (url.scheme, url.host, url.port, url.path) == (scheme, host, port, path)
    assert url.options == {}
    assert str(url) == url.text == text


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("max=5", {"max": "5"}),
        ("dir=/tmp/x&max=", {"dir": "/tmp/x", "max": ""}),
        ("dir=%2Ftmp%2Fa%20b", {"dir": "/tmp/a b"}),
        ("topic=/a/b/%23", {"topic": "/a/b/#"}),
        ("eager", {"eager": ""}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_a_url_has_options(query: str, options: dict[str, str]) -> None:
    assert Url.parse(f"tcp://host?{query}").options == options
    assert Url.parse(f"unix:///a/b?{query}").options == options


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lamp",
        "127.0.0.1:8805",
        "//host",
        "/run/lamp.sock",
        "tcp:host",
        "://host",
        "tcp://host:port",
        "tcp://host:99999",
        "tcp://host:-1",
        "tcp://[::1",
        "tcp://::1]:5",
        "tcp://[no-address]:5",
        "udp://[::1]x:80",
        "udp://[::1]80",
        "gatt://AA:BB:CC:DD:EE",
        "tcp://host?max=1&max=2",
        "tcp://host?max=&max=",
        "tcp://host#part",
        "tcp://host?dir=/a#b",
    ],
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Url.parse(text)
    assert text in str(caught.value)
    assert isinstance(caught.value, ValueError)


@given(st.text() | st.text(alphabet="tcp:/[]@?#&=%.019 \n\\", max_size=30).map("tcp://".__add__))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = Url.parse(text)
    except InvalidUrl:
        return
    assert url.scheme
    assert url.port is None or 0 <= url.port <= 65535
    assert "://" in text


hosts = st.sampled_from(["lamp.local", "127.0.0.1", "::1", "fe80::2", "::"])


@given(hosts, st.integers(0, 65535))
def test_an_address_comes_back(host: str, port: int) -> None:
    url = Url.parse(f"tcp://{host_port(host, port)}")
    assert (url.host, url.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtt://h?password=s3cret", "mqtt://h?password=***"),
        ("mqtt://h?max=1&password=s3cret&qos=1", "mqtt://h?max=1&password=***&qos=1"),
        ("mqtt://h?password=s3%20cret", "mqtt://h?password=***"),
        ("mqtt://h?password=", "mqtt://h?password=***"),
        ("mqtt://h?pass%77ord=s3cret", "mqtt://h?pass%77ord=***"),
        ("mqtt://h?xpassword=1&password=s3cret", "mqtt://h?xpassword=1&password=***"),
        ("mqtt://h?password=env:RPC_PASSWORD", "mqtt://h?password=env:RPC_PASSWORD"),
        ("mqtt://h?password=file:/run/key&qos=1", "mqtt://h?password=file:/run/key&qos=1"),
    ],
)
def test_a_password_is_not_shown(text: str, shown: str) -> None:
    url = Url.parse(text)
    assert str(url) == url.text == shown
    assert str(url.error("trouble")) == f"{shown}: trouble"
    with pytest.raises(InvalidUrl) as caught:
        url.read_options(Options)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://me:s3cret@host/x",
        "mqtt://h?password=s3cret&password=b",
        "mqtt://h:x?password=s3cret",
        "tcp://h?password=a#s3cret",
    ],
)
def test_a_refusal_shows_no_password(text: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Url.parse(text)
    assert "s3cret" not in str(caught.value)


def test_options_are_read_into_a_struct() -> None:
    url = Url.parse("tcp://h?max=1400&dir=/tmp&eager=true&wait=2&role=module")
    assert url.read_options(Options) == Options(1400, "/tmp", True, 2.0, "module")
    assert Url.parse("tcp://h").read_options(Options) == Options()
    assert Url.parse("tcp://h?eager=0&wait=0.5").read_options(Options) == Options(wait=0.5)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("maximum=5", ["'maximum'", "dir", "eager", "max", "role", "wait"]),
        ("Max=5", ["'Max'", "max"]),
        ("max=many", ["max='many'", "int"]),
        ("max=", ["max=''", "int"]),
        ("max=1.5", ["max='1.5'", "int"]),
        ("eager=maybe", ["eager='maybe'", "valid are 0, 1"]),
        ("wait=0", ["wait='0'", "> 0"]),
        ("wait=soon", ["wait='soon'", "float"]),
        ("role=master", ["role='master'", "mcu", "module"]),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(query: str, words: list[str]) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Url.parse(f"tcp://h?{query}").read_options(Options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["tcp://h", "tcp://h/", "tcp://h/?max=1"])
def test_a_path_is_not_needed(text: str) -> None:
    Url.parse(text).forbid_path()


def test_a_path_where_none_belongs_is_refused() -> None:
    with pytest.raises(InvalidUrl, match="'/rpc'"):
        Url.parse("tcp://h/rpc").forbid_path()


@pytest.mark.parametrize(
    ("host", "exposed"),
    [
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("[::1]", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("[::]", True),
        ("192.168.1.5", True),
        ("[fe80::1%eth0]", True),
        ("lamp.local", True),
        ("localhost.example", True),
    ],
)
def test_who_else_may_reach_a_host(host: str, exposed: bool) -> None:
    assert Url.parse(f"tcp://{host}:8805").is_exposed is exposed


def test_a_url_without_a_host_is_of_this_machine() -> None:
    assert not Url.parse("unix:///run/lamp.sock").is_exposed


@pytest.mark.parametrize("mark", ["/", "?", "#", "@", "%", "[", ":"])
def test_a_password_with_marks_in_it_is_not_shown(mark: str) -> None:
    """Not where the URL makes no sense by it, and not in parts."""
    text = f"mqtt://me:hun{mark}ter2@broker/t"
    with pytest.raises(InvalidUrl) as caught:
        Url.parse(text)
    for shown in (str(caught.value), mask(text)):
        assert "hun" not in shown
        assert "ter2" not in shown


@pytest.mark.parametrize(
    "name", ["Token", "TOKEN", "%74oken", "passwort", "passwd", "auth_token", "ticket"]
)
def test_a_secret_is_not_shown_where_its_option_is_misspelt(name: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Url.parse(f"http://h/p?{name}=s3cret").read_options(Options)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("secret", [key_text(bytes(range(215, 247))), bearer_token(bytes(32))])
@pytest.mark.parametrize("name", ["key", "keys", "password", "psk"])
def test_a_key_or_token_is_not_shown_whatever_its_option(name: str, secret: str) -> None:
    url = Url.parse(f"udp://h?{name}={secret}")
    with pytest.raises(InvalidUrl) as caught:
        url.read_options(Options)
    for shown in (str(caught.value), str(url), repr(url), repr([url])):
        assert secret not in shown
        assert secret.replace("+", " ") not in shown
        assert f"{name}=***" in shown


def test_a_port_and_an_at_sign_are_no_password() -> None:
    text = "http://host:8080/a@b?mail=c@d"
    assert mask(text) == Url.parse(text).text == text


@pytest.mark.parametrize(
    "text", ["tcp://h\udcff", "mqtt://h/\udcff", "tcp://h?max=\udcff", f"tcp://h?max={'1' * 5000}"]
)
def test_an_odd_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl):
        Url.parse(text).read_options(Options)


@pytest.mark.parametrize("zone", ["%eth0", "%25eth0"])
def test_a_zone_is_written_in_either_way(zone: str) -> None:
    assert Url.parse(f"http://[fe80::1{zone}]:80/rpc").host == "fe80::1%eth0"
