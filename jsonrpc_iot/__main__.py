"""The program `jsonrpc-iot`, also as `python -m jsonrpc_iot`; the commands are in `cli`."""

import sys
from importlib.util import find_spec

_NEEDED = ("rich",)


def main() -> None:
    """Run the command that the process was called with, and exit."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        lacking = " and ".join(missing)
        sys.exit(_usage(f"{lacking} missing: pip install 'jsonrpc-iot[cli]'"))
    try:
        from .channel.interrupts import catch_again
        from .cli import run

        catch_again()
        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _usage(problem: str) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"jsonrpc-iot: {problem}\n")
    return 2


if __name__ == "__main__":
    main()
