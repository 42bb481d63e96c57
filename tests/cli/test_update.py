"""`update`, and the options of a simulated device that is updated."""

import json
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jsonrpc_iot import cli
from jsonrpc_iot.services.firmware import Image, sign

from .program import Done, listening, started

IMAGE = bytes(number * number % 251 for number in range(20_000))


def test_a_device_is_updated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*words: str | Path) -> Done:
        code = cli.run([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    image, key, public = tmp_path / "lamp.img", tmp_path / "key.pem", tmp_path / "public"
    image.write_bytes(IMAGE)
    private = Ed25519PrivateKey.generate()
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public.write_bytes(b64encode(raw) + b"\n")

    folder = tmp_path / "device"
    words = ("--firmware", str(folder), "--firmware-key", str(public))
    with started("simulate", *words, "--bind", "udp://127.0.0.1:0") as program:
        program.wait_for_error("jsonrpc-iot: WARNING:")
        url = listening(program)
        unsigned = command("update", url, image, "--version", "1.1.0")
        assert unsigned.code == 1
        assert json.loads(unsigned.complaint)["code"] == 3102

        signed = ("--version", "1.1.0", "--sign-key", key)
        done = command("update", url, image, "--confirm", *signed)
        assert done == (0, "1.1.0 confirmed, 1.0.0 before\n", "")
        assert (folder / "a.img").read_bytes() == IMAGE

        (tmp_path / "signature").write_bytes(sign(_image("1.2.0"), key))
        words = ("--version", "1.2.0", "--signature", str(tmp_path / "signature"))
        done = command("update", url, image, *words, "--confirm", "--json")
        assert done.code == 0, done
        assert done.result["version"] == "1.2.0"
        assert done.result["state"] == "confirmed"
        assert program.stop().code == 0


def _image(version: str) -> Image:
    return Image(version=version, size=len(IMAGE), sha256=sha256(IMAGE).hexdigest())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--signature", "{file}", "--sign-key", "{file}"], "give one of them"),
        (["--signature", "{file}"], "a signature has 64 bytes"),
        (["--signature", "{file}.no"], "No such file"),
    ],
)
def test_what_makes_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    given = [word.format(file=file) for word in words]
    assert cli.run(["update", "tcp://127.0.0.1:1", str(file), "--version", "1", *given]) == 2
    assert complaint in capsys.readouterr().err


def test_an_image_has_bytes_and_its_key_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, key = tmp_path / "image", tmp_path / "key.pem"
    image.touch()
    words = ["update", "tcp://127.0.0.1:1", str(image), "--version", "1"]
    assert cli.run(words) == 2
    assert capsys.readouterr().err == f"jsonrpc-iot: {image}: it is empty, and no image\n"
    with started("simulate", "--bind", "tcp://127.0.0.1:0") as program:
        image.write_bytes(b"x")
        words[1] = listening(program)
        assert cli.run([*words, "--sign-key", str(key)]) == 2
    assert capsys.readouterr().err == f"jsonrpc-iot: {key}: No such file or directory\n"


def test_a_key_is_of_use_with_a_folder_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["simulate", "--bind", "tcp://127.0.0.1:0", "--firmware-key", "x"]) == 2
    assert "--firmware DIR" in capsys.readouterr().err


def test_openssl_signs_as_we_do(tmp_path: Path) -> None:
    """The recipe of the documentation, where that program is."""
    key, text = tmp_path / "key.pem", tmp_path / "text"
    try:
        make = ("openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key))
        subprocess.run(make, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    image = _image("1.1.0")
    text.write_text(f"jsonrpc-iot firmware\n1.1.0\n\n{image.sha256}\n")
    words = ("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(key), "-in", str(text))
    signature = subprocess.run(words, check=True, capture_output=True).stdout
    assert signature == sign(image, key)
