"""`pipe://NAME` and `unix:///PATH`: socket files and who is at the other end."""

import os
import socket
import stat
import sys
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import (
    BindFailed,
    ChannelAttribute,
    ConnectFailed,
    Dispatcher,
    InvalidUrl,
    Limits,
    Listener,
    PeerCredentials,
    connect,
    serve,
)
from jsonrpc_iot.transports import open_channel, open_listener
from tests.transports.links import accepting
from tests.waiting import SECONDS, eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here"),
]

FORMS = pytest.mark.parametrize("form", ["pipe://lamp?dir={0}", "unix://{0}/lamp-jsonrpc.socket"])
FILE = "lamp-jsonrpc.socket"


def dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def answers(url: str) -> None:
    """A listener that was opened at that URL can be reached."""
    async with await open_channel(url):
        pass


@FORMS
async def test_the_socket_file_is_for_owner_and_group(form: str, tmp_path: Path) -> None:
    url = form.format(tmp_path)
    async with await open_listener(url) as listener:
        assert list(listener.addresses) == [url]
        mode = (tmp_path / FILE).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        assert os.listdir(tmp_path) == [FILE]
        await answers(url)
    assert os.listdir(tmp_path) == []


@FORMS
async def test_a_dead_servers_file_is_replaced(form: str, tmp_path: Path) -> None:
    dead_socket(tmp_path / FILE)
    with pytest.raises(ConnectFailed, match=FILE):
        await open_channel(form.format(tmp_path))
    async with await open_listener(form.format(tmp_path)):
        await answers(form.format(tmp_path))
    assert os.listdir(tmp_path) == []


@FORMS
async def test_a_live_server_is_left_alone(form: str, tmp_path: Path) -> None:
    url = form.format(tmp_path)
    with anyio.fail_after(SECONDS):
        async with accepting(url) as (_, accept):
            with pytest.raises(BindFailed, match="another server"):
                await open_listener(url)
            assert os.listdir(tmp_path) == [FILE]
            async with await accept():
                pass
            async with await open_channel(url) as client:
                server = await accept()
                async with server:
                    await client.send(b"[1]")
                    assert await server.receive() == b"[1]"


async def test_a_live_server_that_does_not_accept_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(tmp_path / FILE))
        busy.listen(1)
        with pytest.raises(BindFailed, match="another server"):
            await open_listener(f"pipe://lamp?dir={tmp_path}")
    assert os.listdir(tmp_path) == [FILE]


@FORMS
async def test_what_is_no_socket_is_left_alone(form: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("precious")
    with pytest.raises(BindFailed, match="no socket"):
        await open_listener(form.format(tmp_path))
    with pytest.raises(ConnectFailed):
        await open_channel(form.format(tmp_path))
    assert (tmp_path / FILE).read_text() == "precious"
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to(tmp_path / "nowhere")
    with pytest.raises(BindFailed, match="no socket"):
        await open_listener(form.format(tmp_path))
    assert os.listdir(tmp_path) == [FILE]


async def test_somebody_elses_file_is_not_removed(tmp_path: Path) -> None:
    url = f"pipe://lamp?dir={tmp_path}"
    listener = await open_listener(url)
    (tmp_path / FILE).rename(tmp_path / "aside")  # so that its inode is not used again
    async with await open_listener(url):
        await listener.aclose()
        await answers(url)
    listener = await open_listener(url)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).write_text("precious")
    await listener.aclose()
    assert (tmp_path / FILE).read_text() == "precious"
    listener = await open_listener(f"unix://{tmp_path}/b")
    (tmp_path / "b").unlink()
    await listener.aclose()


async def test_a_second_close_does_not_remove_the_next_servers_file(tmp_path: Path) -> None:
    """The next one's file may well have the same inode."""
    url = f"pipe://lamp?dir={tmp_path}"
    listener = await open_listener(url)
    await listener.aclose()
    async with await open_listener(url):
        await listener.aclose()
        await answers(url)


async def test_a_path_may_have_every_length_that_the_system_allows(tmp_path: Path) -> None:
    for size in range(90, 108):
        name = "x" * (size - len(str(tmp_path)) - len("/-jsonrpc.socket"))
        url = f"pipe://{name}?dir={tmp_path}"
        async with await open_listener(url):
            assert {len(str(path)) for path in tmp_path.iterdir()} == {size}
            await answers(url)


async def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    for url in (f"pipe://{'x' * 100}?dir={tmp_path}", f"unix://{tmp_path}/{'é' * 54}"):
        for attempt in (open_channel, open_listener):
            with pytest.raises(InvalidUrl, match="too long"):
                await attempt(url)


async def test_a_missing_folder(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for url in (f"pipe://lamp?dir={missing}", f"unix://{missing}/lamp.sock"):
        with pytest.raises(BindFailed, match="missing"):
            await open_listener(url)
        with pytest.raises(ConnectFailed, match="missing"):
            await open_channel(url)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
async def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BindFailed, match="dir="):
        await open_listener(f"pipe://lamp?dir={tmp_path}")


async def test_the_other_ends_credentials(tmp_path: Path) -> None:
    ours = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
    with anyio.fail_after(SECONDS):
        async with (
            accepting(f"pipe://lamp?dir={tmp_path}") as (listener, accept),
            await open_channel(listener.addresses[0]) as client,
        ):
            server = await accept()
            async with server:
                assert server.extra(ChannelAttribute.credentials) == ours
                assert client.extra(ChannelAttribute.credentials) == ours
                assert server.info.peer.endswith(f"#pid={os.getpid()}")


# Where pipe://NAME looks


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """The folders that the environment names: the one before /var/run and the one behind it."""
    first, last = tmp_path / "first", tmp_path / "last"
    first.mkdir()
    last.mkdir()
    monkeypatch.setenv("JSONRPC_IOT_RUNTIME_DIR", str(first))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(last))
    return first, last


NAME = f"jsonrpc-iot-test-{os.getpid()}"
PATH = f"{NAME}-jsonrpc.socket"


async def test_a_server_takes_the_first_folder(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, last = folders
    async with await open_listener(f"pipe://{NAME}") as listener:
        assert os.listdir(first) == [PATH]
        assert os.listdir(last) == []
        await answers(listener.addresses[0])
    named = tmp_path / "named"
    named.mkdir()
    async with await open_listener(f"pipe://{NAME}?dir={named}") as listener:
        assert os.listdir(named) == [PATH]
        assert os.listdir(first) == []
        await answers(listener.addresses[0])
        with pytest.raises(ConnectFailed):
            await open_channel(f"pipe://{NAME}")


async def test_a_client_takes_the_first_folder_with_the_socket(folders: tuple[Path, Path]) -> None:
    first, last = folders
    async with accepting(f"pipe://{NAME}?dir={last}") as (_, accept_last):
        async with await open_channel(f"pipe://{NAME}"), await accept_last():
            pass
        async with (
            accepting(f"pipe://{NAME}?dir={first}") as (_, accept_first),
            await open_channel(f"pipe://{NAME}"),
            await accept_first(),
        ):
            pass


async def test_a_server_passes_over_folders_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, folders: tuple[Path, Path]
) -> None:
    first, last = folders
    monkeypatch.setenv("JSONRPC_IOT_RUNTIME_DIR", str(first / "missing"))
    async with await open_listener(f"pipe://{NAME}") as listener:
        system = Path("/var/run") / PATH
        assert system.is_socket() or (last / PATH).is_socket()
        assert system.is_socket() == os.access("/var/run", os.W_OK)
        await answers(listener.addresses[0])


async def test_an_error_names_a_folder(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ConnectFailed, match=f"{folders[0]}/nobody-jsonrpc.socket"):
        await open_channel("pipe://nobody")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("pipe://", "a name is missing"),
        ("pipe://lamp/x", "takes no path"),
        ("pipe://lamp?folder=/tmp", "unknown option 'folder'; pipe has dir, max"),
        ("pipe://lamp?max=0", "max='0'"),
        ("pipe://lamp?max=many", "max='many'"),
        ("unix://lamp", "an absolute path is needed"),
        ("unix://", "an absolute path is needed"),
        ("unix://host/run/lamp.sock", "an absolute path is needed"),
        ("unix:///run/lamp.sock?dir=/tmp", "unknown option 'dir'; unix has max"),
    ],
)
async def test_wrong_urls(url: str, problem: str) -> None:
    for attempt in (open_channel, open_listener):
        with pytest.raises(InvalidUrl) as caught:
            await attempt(url)
        assert problem in str(caught.value)
        assert url in str(caught.value)


async def test_the_limits_on_what_is_sent(tmp_path: Path) -> None:
    for options, expected in (("", 65536), ("&max=1000", 1000)):
        url = f"pipe://lamp?dir={tmp_path}{options}"
        async with await open_listener(url), await open_channel(url) as client:
            assert client.info.max_message == expected


async def test_servers_that_begin_at_once_get_their_own_names(tmp_path: Path) -> None:
    """None is reached by the name of another, in one process too."""
    names = [f"s{number}" for number in range(20)]
    listeners: dict[str, Listener] = {}

    async def begin(name: str) -> None:
        listeners[name] = await open_listener(f"pipe://{name}?dir={tmp_path}")

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(begin, name)
    inodes = {name: (tmp_path / f"{name}-jsonrpc.socket").stat().st_ino for name in names}
    assert len(set(inodes.values())) == len(names)
    assert len(os.listdir(tmp_path)) == len(names)
    for name in names[1:]:
        await listeners[name].aclose()
    assert os.listdir(tmp_path) == ["s0-jsonrpc.socket"]
    await listeners["s0"].aclose()


async def test_of_servers_of_one_name_that_begin_at_once_one_serves(tmp_path: Path) -> None:
    for _ in range(5):
        served: list[Listener] = []
        refused: list[str] = []

        async def begin(served: list[Listener] = served, refused: list[str] = refused) -> None:
            try:
                served.append(await open_listener(f"pipe://lamp?dir={tmp_path}"))
            except BindFailed as error:
                refused.append(str(error))

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(begin)
        assert len(served) == 1
        assert len(refused) == 3
        assert all("another server is listening" in each for each in refused)
        await answers(f"pipe://lamp?dir={tmp_path}")
        await served[0].aclose()


CROWD = """
import os, socket, sys
os.setgid(int(sys.argv[2])); os.setuid(65534)
crowd = [socket.socket(socket.AF_UNIX) for _ in range(6)]
for each in crowd:
    each.connect(sys.argv[1])
print("here", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can be others")
async def test_one_user_does_not_keep_others_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    url = f"unix://{tmp_path}/{FILE}"
    dispatcher = Dispatcher()
    dispatcher.method("ok")(lambda: True)
    command = [sys.executable, "-c", CROWD, str(tmp_path / FILE), str(os.getgid())]
    async with (
        serve(dispatcher, url, limits=Limits(peers=6), grace=0) as server,
        await anyio.open_process(command) as crowd,
    ):
        assert crowd.stdout
        assert crowd.stdin
        with anyio.fail_after(SECONDS):
            assert (await crowd.stdout.receive()).startswith(b"here")
            await eventually(lambda: len(server.peers) == 6)
            async with connect(url) as client:
                assert await client.call("ok") is True
        await crowd.stdin.aclose()


async def test_a_stranger_cannot_take_the_place_of_a_server(tmp_path: Path) -> None:
    """In a folder where anybody may put a socket, its owner must be one whom we trust."""
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    os.chmod(tmp_path, 0o1777)
    path = tmp_path / FILE
    with socket.socket(socket.AF_UNIX) as raw:
        raw.bind(str(path))
        os.seteuid(4711)  # whose the server is, as the kernel tells clients
        try:
            raw.listen(8)
        finally:
            os.seteuid(0)
        with pytest.raises(ConnectFailed, match="of user 4711, and anybody may put one there"):
            await open_channel(f"pipe://lamp?dir={tmp_path}")
        with pytest.raises(ConnectFailed, match="of user 4711, not of root"):
            await open_channel(f"unix://{path}?owner=root")
        with pytest.raises(InvalidUrl, match="no user 'nobody-here'"):
            await open_channel(f"unix://{path}?owner=nobody-here")
        async with await open_channel(f"pipe://lamp?dir={tmp_path}&owner=4711"):
            pass
        os.chmod(tmp_path, 0o755)  # now only whom its owner lets
        async with await open_channel(f"pipe://lamp?dir={tmp_path}"):
            pass
