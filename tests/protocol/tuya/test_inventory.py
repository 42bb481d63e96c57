"""A module's query of all DataPoints: which reports answer it."""

import pytest

from jsonrpc_iot.protocol.tuya.datapoints import (
    DataPoint,
    DataPointType,
    encode_datapoints,
    split_units,
)
from jsonrpc_iot.protocol.tuya.frame import Command, Frame, FrameDecoder
from jsonrpc_iot.protocol.tuya.module import Module

QUERY = Command.QUERY_DATAPOINTS


def units(*ids: int, value: int = 0) -> bytes:
    return encode_datapoints([DataPoint(id, DataPointType.VALUE, value) for id in ids])


class Line:
    """A module whose MCU has answered all of its start but the query."""

    def __init__(self, *reported: bytes) -> None:
        self.module = Module()
        self.module.poll(0.0)
        for data in reported:
            self.report(data, 0.0)
        for command, data in enumerate((b"\0", b"a product", b"", b"")):
            self.module.take(Frame(3, command, data), 0.0)

    def report(self, data: bytes, now: float) -> list[int]:
        """The MCU reports; which of it is news."""
        frame = Frame(3, Command.REPORT_DATAPOINTS, data)
        assert self.module.take(frame, now) == []
        return [unit.id for unit in split_units(data) if self.module.is_news(unit)]

    def asks(self, now: float) -> bool:
        """Whether the MCU is asked again now."""
        frames = FrameDecoder().feed(b"".join(self.module.poll(now)), 0.0)
        return any(frame.command == QUERY for frame in frames)


@pytest.mark.parametrize("answer", [[units(1)], [units(1, 2)], [units(1), units(2)]])
def test_a_prompt_report_of_something_new_answers(answer: list[bytes]) -> None:
    line = Line()
    for each in answer:
        assert line.report(each, 0.2)
    assert not line.asks(1.0)


def test_several_datapoints_answer_however_late() -> None:
    line = Line()
    line.report(units(1), 0.8)
    line.report(units(2), 0.9)
    assert not line.asks(1.0)


def test_a_late_report_of_one_may_have_come_by_chance() -> None:
    line = Line()
    assert line.report(units(1), 0.5) == [1]
    assert not line.asks(1.0)
    assert line.asks(15.0)  # with the next heartbeat
    assert line.report(units(1, 2, 3), 15.1) == [2, 3]
    assert not line.asks(16.0)
    assert not line.asks(30.0)


def test_an_mcu_that_has_one_and_answers_late_is_asked_twice_and_tells_no_news() -> None:
    line = Line()
    line.report(units(1), 0.5)
    assert line.asks(15.0)
    assert line.report(units(1), 15.5) == []
    assert not line.asks(16.0)
    assert line.report(units(1), 17.0) == [1]
    assert not line.asks(30.0)


def test_what_was_reported_before_the_query_may_come_again_by_chance() -> None:
    line = Line(units(1, 2))
    line.report(units(1, 2), 0.1)
    assert line.asks(1.0)
    line.report(units(1, 2, 3), 1.1)
    assert not line.asks(2.0)


def test_the_same_answer_twice_is_one_and_no_news_unless_it_has_changed() -> None:
    line = Line(units(1, 2))
    assert line.report(units(1, 2), 0.5) == [1, 2]
    assert line.asks(1.0)
    assert line.report(units(1), 1.5) == []
    assert line.report(units(2, value=7), 1.6) == [2]
    assert not line.asks(2.0)
    assert line.report(units(1), 2.1) == [1]


def test_an_mcu_that_is_known_answers_with_all_it_has() -> None:
    line = Line()
    line.report(units(1, 2), 0.1)
    line.report(units(3), 5.0)
    line.module.query(10.0)
    line.report(units(1), 10.1)
    line.report(units(2), 10.2)
    assert line.asks(11.0)
    line.report(units(1, 2, 3), 11.1)
    assert not line.asks(12.0)


def test_an_mcu_that_leaves_one_out_is_asked_three_times_and_then_known_for_that() -> None:
    line = Line()
    line.report(units(1, 2), 0.1)
    line.report(units(9), 5.0)  # an event, which is no state
    line.module.query(10.0)
    news = line.report(units(1, 2), 10.1)
    asked = [line.asks(10.0 + second) for second in (1, 2, 3, 4)]
    assert asked == [True, True, False, False]
    assert news == [1, 2]
    line.module.query(20.0)
    line.report(units(1, 2), 20.1)
    assert not line.asks(21.0)


def test_a_report_that_is_cut_off_counts_for_what_it_has() -> None:
    line = Line()
    frame = Frame(3, Command.REPORT_DATAPOINTS, units(1, 2) + b"\3\2\0")
    assert line.module.take(frame, 0.1) == []
    assert not line.asks(1.0)
