"""Fixtures and settings for all tests."""

import logging
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from jsonrpc_iot.channel.logs import LOGGERS, Guard
from tests.kernel import arrival_times

# Examples take as long as the machine lets them; pytest-timeout ends a test that hangs.
settings.register_profile("jsonrpc-iot", settings(deadline=None))
settings.load_profile("jsonrpc-iot")

# Programs that the tests start must hear Ctrl-C, also when the tests themselves run in a background
# job, to which the shell gives a SIGINT that is ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NO_UVLOOP = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run on Windows")

ASYNCIO = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="asyncio+uvloop", marks=NO_UVLOOP),
]
"""The event loops for what does not run on trio."""


# Module scope, so that a module's fixtures can be async and hypothesis can drive async tests.
@pytest.fixture(scope="module", params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Name the event loop of an async test, and its options: each test runs on all of them."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture
def log_is_as_before() -> Iterator[None]:
    """Have a command that runs in this process leave no trace in its log.

    Else what it shows the log on is closed when others log.
    """
    loggers = [logging.getLogger(name) for name in ("", "jsonrpc_iot", "jsonrpc_iot.cli.trace")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tests out on event loops that they are not for, as their mark `only_on` says."""
    items[:] = [item for item in items if _is_for_its_loop(item)]


def _is_for_its_loop(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("only_on")
    callspec = getattr(item, "callspec", None)
    backend = callspec.params.get("anyio_backend") if callspec else None
    return mark is None or backend is None or is_on(backend, mark.args)


def is_on(backend: str | tuple[str, dict[str, Any]], libraries: Iterable[str]) -> bool:
    """Whether a loop, as `anyio_backend` gives it, is one of these libraries.

    Args:
        backend: the library's name, alone or with options.
        libraries: as the mark `only_on` names them.

    Raises:
        pytest.UsageError: there is no such library.
    """
    if unknown := set(libraries) - {"asyncio", "trio"}:
        raise pytest.UsageError(f"only_on: no event loop is that of {', '.join(unknown)}")
    return (backend if isinstance(backend, str) else backend[0]) in libraries


@pytest.fixture(scope="session", autouse=True)
def datagrams_are_dated() -> Iterator[None]:
    """Have the kernel note arrivals all the time, as it does where a server runs."""
    with arrival_times():
        yield


@pytest.fixture(autouse=True)
def log_as_new() -> None:
    """Let no test find the log limited by what others have logged in the same minute, or set."""
    logging.getLogger("jsonrpc_iot").setLevel(logging.NOTSET)
    for name in LOGGERS:
        for guard in logging.getLogger(f"jsonrpc_iot.{name}").filters:
            if isinstance(guard, Guard):
                guard.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports pass between processes, which takes no lone surrogates that tests have logged."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
