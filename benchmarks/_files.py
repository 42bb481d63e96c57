"""A device with files, and with plain calls that carry as many bytes."""

from pathlib import Path

from jsonrpc_iot import Dispatcher, Principal
from jsonrpc_iot.services.files import FolderFiles


def device(folder: Path) -> Dispatcher:
    """Offer the files of a folder, and `take` and `give`, which do nothing with the bytes."""
    dispatcher = Dispatcher()
    dispatcher.include(FolderFiles(folder))
    dispatcher.everybody = Principal("everybody", {"files"})

    @dispatcher.method(idempotent=True)
    def take(data: bytes) -> None:
        pass

    @dispatcher.method(idempotent=True)
    def give(length: int) -> bytes:
        return bytes(length)

    return dispatcher
