"""Settings: in a file, and changed while the platform runs."""

import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import PlatformSettings
from jsonrpc_iot.novacloud.platform.settings_file import read_settings
from tests.novacloud.rig import NO_PAUSES, running

FIELDS = PlatformSettings.__struct_fields__


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "nova.toml"
    path.write_text('# ours\nauth_seconds = 3\n"line" = 1024\nauto_define = true\n', "utf-8-sig")
    assert read_settings(path) == PlatformSettings(auth_seconds=3.0, line=1024, auto_define=True)
    path.write_text("")
    assert read_settings(path) == PlatformSettings()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"line = 9\nauth_second = 3\n", ", line 2: there is no setting 'auth_second'; did you"),
        (b"line = 9\n\n[auth_seconds]\nx = 1\n", ", line 3: auth_seconds: expected `float`"),
        (b"[nothing.at.all]\n", ", line 1: there is no setting 'nothing'; There are auth_line, "),
        (b"#\nauth_seconds = 0\n", ", line 2: auth_seconds: expected `float` > 0.0"),
        (b"line = 1.5\n", ", line 1: line: expected `int`, got `float`"),
        (b'line = "many"\n', ", line 1: line: expected `int`, got `str`"),
        (b"auth_seconds = inf\n", ", line 1: auth_seconds has to be finite"),
        (b"flap_delay = nan\n", ", line 1: flap_delay has to be finite"),
        (b"line = 9\nline = 9\n", ", line 2: not valid TOML: "),
        (b"line = \n", ", line 1: not valid TOML: "),
        (b"line = " + b"9" * 5000, ", line 1: not valid TOML: "),
        (b"line = [" * 5000, "not valid TOML: "),
        (b"line = 9 # \xff\n", ": not UTF-8"),
        (b"#" * (1 << 21), ": larger than 1 MiB"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: bytes, complaint: str) -> None:
    path = tmp_path / "nova.toml"
    path.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        read_settings(path)
    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_typo_is_answered_with_all_settings(tmp_path: Path) -> None:
    path = tmp_path / "nova.toml"
    path.write_text("auto_defin = true")
    with pytest.raises(UsageError, match=r"did you mean auto_define\?") as caught:
        read_settings(path)
    assert all(name in str(caught.value) for name in FIELDS)


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"No such file|directory"):
        read_settings(tmp_path / name)


@pytest.mark.anyio
async def test_new_settings_hold_for_the_devices_that_are_there(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            rig.platform.renew(settings=replace(NO_PAUSES, line=200, auto_define=True))
            await device.data(t=1, padding="x" * 200)
            assert "longer than 200" in (await device.receive())["payload"]["message"]
            await device.data(new=5)
            assert (await rig.push("telemetry"))["values"] == {"new": 5}
            rig.platform.renew(settings=replace(NO_PAUSES, queued_commands=1, line=400))
            await device.data(t=2, padding="x" * 200)
            assert (await rig.push("telemetry"))["values"]["t"] == 2
        other = await rig.create("other")
        command = {"device_id": other["device_id"], "payload": {"light": 1}, "wait": False}
        await rig.call("command.send", **command)
        assert (await rig.fails("command.send", **command)).code == -32004


@pytest.mark.anyio
async def test_more_places_are_taken_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, replace(NO_PAUSES, unauthenticated=1)) as rig:
        info = await rig.create()
        async with rig.link(info), rig.link(info) as waiting:
            rig.platform.renew(settings=NO_PAUSES)
            assert (await waiting.authenticate())["status"] == "success"


@pytest.mark.anyio
async def test_a_device_that_is_there_may_send_as_fast_as_the_new_settings_say(
    tmp_path: Path,
) -> None:
    slow = replace(NO_PAUSES, messages_per_second=0.001, burst=1)
    async with running(tmp_path, slow) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            rig.platform.renew(settings=NO_PAUSES)
            for number in range(20):
                await device.data(t=number)
            await rig.until_stat("values", 20)


@pytest.mark.anyio
async def test_a_platform_keeps_its_own_settings(tmp_path: Path) -> None:
    mine = replace(NO_PAUSES)
    async with running(tmp_path, mine) as rig:
        rig.platform.renew(settings=replace(NO_PAUSES, line=77))
        assert (mine.line, rig.platform.settings.line) == (NO_PAUSES.line, 77)
        with pytest.raises(ValueError, match="without TLS"):
            rig.platform.renew(tls=ssl.create_default_context())
