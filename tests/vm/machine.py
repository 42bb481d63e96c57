"""The virtual machine: the first files of its memory, and qemu."""

import gzip
import lzma
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

FILES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]
"""The host's, over which new ones are laid in memory."""
TOOLS = ["sh", "mount", "mkdir", "insmod", "chroot", "poweroff", "cat", "ifconfig"]
INIT = Path(__file__).parent / "init.sh"

_MEMORY_MIB = 1536


def make_initrd(root: Path, made: Path, modules: Mapping[str, str]) -> None:
    """Pack busybox, `init.sh` and the kernel's modules.

    Args:
        root: of the unpacked packages.
        made: the file to write.
        modules: of the kernel, with their options.
    """
    files = made.parent / "initrd.d"
    for each in ("bin", "dev", "proc", "sys", "host", "new", "root", "modules"):
        (files / each).mkdir(parents=True, exist_ok=True)
    places = (root / "bin/busybox", root / "usr/bin/busybox")
    busybox = next(path for path in places if path.exists())
    (files / "bin/busybox").write_bytes(busybox.read_bytes())
    (files / "bin/busybox").chmod(0o755)
    for tool in TOOLS:
        (files / "bin" / tool).unlink(missing_ok=True)
        (files / "bin" / tool).symlink_to("busybox")
    with (files / "modules/list").open("w", encoding="ascii") as listed:
        for name, module in _modules(root, [*FILES, *modules]):
            (files / "modules" / f"{name}.ko").write_bytes(module)
            listed.write(f"{name}.ko {modules.get(name, '')}\n")
    (files / "init").write_bytes(INIT.read_bytes())
    (files / "init").chmod(0o755)
    listing = "\n".join(str(path.relative_to(files)) for path in sorted(files.rglob("*")))
    pack = [str(busybox), "cpio", "-o", "-H", "newc"]
    packed = subprocess.run(
        pack, cwd=files, input=listing.encode(), check=True, capture_output=True
    )
    made.write_bytes(gzip.compress(packed.stdout, 1))


def _modules(root: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Modules of the kernel, each after those that it needs itself."""
    paths = {path.name.partition(".")[0].replace("-", "_"): path for path in root.rglob("*.ko*")}
    done: set[str] = set()

    def load(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name not in paths:  # the latter is part of the kernel
            return
        done.add(name)
        packed = paths[name].read_bytes()
        module = lzma.decompress(packed) if paths[name].suffix == ".xz" else packed
        depends = re.search(rb"\0depends=([^\0]*)\0", module)
        for each in depends[1].decode().split(",") if depends else ():
            yield from load(each)
        yield name, module

    for name in names:
        yield from load(name)


def run(
    root: Path,
    folder: Path,
    modules: Mapping[str, str],
    command: list[str],
    environment: Mapping[str, str],
) -> int:
    """Boot, run a command in the machine, and give its exit code.

    Args:
        root: of the unpacked packages.
        folder: is `/shared` in the machine, the only one that it can write to.
        modules: of the kernel, with their options.
        command: is run in the present folder, as root.
        environment: of the command.
    """
    make_initrd(root, folder / "initrd", modules)
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    for name, value in (("cwd", os.getcwd()), ("command", _script(command, environment))):
        (shared / name).write_text(value, encoding="utf-8")
    (shared / "exit").unlink(missing_ok=True)
    kernel = next(root.glob("boot/vmlinuz-*"))
    qemu = ["qemu-system-x86_64", "-machine", "q35", "-accel", _accelerator(), "-cpu", "max"]
    qemu += ["-smp", str(min(os.cpu_count() or 1, 2)), "-m", str(_MEMORY_MIB), "-no-reboot"]
    qemu += ["-nodefaults", "-display", "none", "-serial", "stdio"]
    qemu += ["-kernel", str(kernel), "-initrd", str(folder / "initrd")]
    qemu += ["-append", "console=ttyS0 panic=-1 loglevel=3 oops=panic"]
    for tag, path, more in (("host", "/", ",readonly=on"), ("shared", str(shared), "")):
        qemu += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{more}"]
        qemu += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    subprocess.run(qemu, stdin=subprocess.DEVNULL, check=True)
    try:
        return int((shared / "exit").read_text(encoding="ascii"))
    except FileNotFoundError:
        return 1  # the machine has died, and said why


def _accelerator() -> str:
    """KVM where it works: some machines that are virtual themselves have it without its means."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii").split())
    return "kvm" if flags & {"vmx", "svm"} and os.access("/dev/kvm", os.W_OK) else "tcg"


def _script(command: list[str], environment: Mapping[str, str]) -> str:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines += [f"cd {shlex.quote(os.getcwd())}", shlex.join(command), "echo $? > /shared/exit", ""]
    return "\n".join(lines)
