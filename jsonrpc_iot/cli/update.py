"""`update`: gives a device another image."""

from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import msgspec

from jsonrpc_iot import UsageError
from jsonrpc_iot.protocol.text import escape
from jsonrpc_iot.services.files import Progress
from jsonrpc_iot.services.firmware import FirmwareStatus
from jsonrpc_iot.services.firmware import update as update_device

from ._files import (
    AnswerTimeoutOption,
    PatienceOption,
    check_readable,
    connect_lastingly,
    hinting_at_service,
    progress_bar,
)
from ._json import encode_json
from ._options import DialectOption, JsonOption, TraceOption, UrlArgument
from ._output import print_json, print_text
from .command.declare import Argument, Option

_SIGNATURE_BYTES = 64


def update(
    url: UrlArgument,
    image: Annotated[Path, Argument("IMAGE", "The file with the image.")],
    *,
    version: Annotated[str, Option(metavar="VERSION", help="The image's version.")],
    target: Annotated[
        str | None,
        Option(metavar="NAME", help="The kind of device that it is for; others refuse it."),
    ] = None,
    signature: Annotated[
        Path | None,
        Option(metavar="FILE", help="Its signature, the 64 bytes of Ed25519; see the docs."),
    ] = None,
    sign_key: Annotated[
        Path | None,
        Option(metavar="FILE", help="Sign it with this Ed25519 private key, in PEM."),
    ] = None,
    confirm: Annotated[
        bool,
        Option(
            "--confirm",
            help="Wait until the device has restarted and runs the image, and have it stay; "
            "otherwise the image before returns, unless somebody confirms this one.",
        ),
    ] = False,
    json: JsonOption = False,
    timeout: AnswerTimeoutOption = 10.0,
    patience: PatienceOption = 60.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Send an image to a device, over any link, and have it installed.

    After a cut, or when either end was restarted, it goes on from where it was, also when this is
    called again. Prints what the device runs in the end.
    """
    if signature is not None and sign_key is not None:
        raise UsageError("--signature has what --sign-key makes: give one of them")
    check_readable(image)
    if image.stat().st_size == 0:
        raise UsageError(f"{image}: it is empty, and no image")
    signed = None if signature is None else _read_signature(signature)

    async def run(progress: Progress | None) -> FirmwareStatus:
        async with connect_lastingly(url, timeout, dialect, trace=trace) as client:
            return await update_device(
                client,
                image,
                version,
                target=target,
                signature=signed,
                sign_key=sign_key,
                confirm=confirm,
                progress=progress,
                patience=patience,
            )

    with hinting_at_service(url, "firmware"), progress_bar(image.name) as progress:
        status = anyio.run(partial(run, progress))
    if json:
        print_json(encode_json(status))
    else:
        print_text(escape(_text(status)))


def _read_signature(path: Path) -> bytes:
    check_readable(path)
    signature = path.read_bytes()
    if len(signature) != _SIGNATURE_BYTES:
        raise UsageError(f"{path}: a signature has {_SIGNATURE_BYTES} bytes")
    return signature


def _text(status: FirmwareStatus) -> str:
    text = f"{status.version} {status.state}"
    if not isinstance(status.next, msgspec.UnsetType):
        return f"{text}, {status.next} next"
    if not isinstance(status.previous, msgspec.UnsetType):
        return f"{text}, {status.previous} before"
    return text
