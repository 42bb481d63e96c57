"""The device that the tests call, a process of its own."""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from .program import serving


class Simulated(NamedTuple):
    """A simulated device that runs, and its URLs."""

    tcp: str
    pipe: str
    udp: str


@pytest.fixture(autouse=True)
def log_is_as_before() -> Iterator[None]:
    """Have a command that ran in this process leave no trace in its log."""
    loggers = [logging.getLogger(name) for name in ("", "jsonrpc_iot", "jsonrpc_iot.cli.trace")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """One device for all tests."""
    folder = tmp_path_factory.mktemp("run")
    urls = ("tcp://127.0.0.1:0", f"pipe://lamp?dir={folder}", "udp://127.0.0.1:0")
    bind = [word for url in urls for word in ("--bind", url)]
    with serving("simulate", "--name", "lamp", *bind, urls=3) as (tcp, pipe, udp):
        yield Simulated(tcp, pipe, udp)
