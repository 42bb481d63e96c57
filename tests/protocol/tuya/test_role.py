"""Both ends of a Tuya line, frame by frame, told the time."""

import json
import math
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from jsonrpc_iot.protocol.tuya.datapoints import DataPoint, DataPointType, decode_datapoints
from jsonrpc_iot.protocol.tuya.frame import Command, Frame, FrameDecoder, NetworkStatus
from jsonrpc_iot.protocol.tuya.module import Module
from jsonrpc_iot.protocol.tuya.role import Mcu, Product, Role

PRODUCT = Product("pid", "1.2.3", 2)
ON = bytes.fromhex("0101000101")


def frames(encoded: list[bytes]) -> list[Frame]:
    """What frames carry; each must be one whole frame."""
    found = []
    for each in encoded:
        (frame,) = FrameDecoder().feed(each, 0)
        found.append(frame)
    return found


def tell(role: Role, command: int, data: bytes = b"", now: float = 0.0) -> list[Frame]:
    """What a role answers to a frame from the other end."""
    return frames(role.take(Frame(0, command, data), now))


def poll(role: Role, now: float) -> list[Frame]:
    return frames(role.poll(now))


def asked(command: int, data: bytes = b"") -> list[Frame]:
    """One frame of a module."""
    return [Frame(0, command, data)]


# The MCU


def test_the_mcu_says_once_that_it_has_restarted() -> None:
    mcu = Mcu(PRODUCT)
    states = [tell(mcu, Command.HEARTBEAT) for _ in range(3)]
    assert states == [[Frame(3, 0, b"\0")], [Frame(3, 0, b"\1")], [Frame(3, 0, b"\1")]]


def test_the_mcu_says_what_product_it_is() -> None:
    (answer,) = tell(Mcu(PRODUCT), Command.PRODUCT)
    assert (answer.version, answer.command) == (3, 1)
    assert json.loads(answer.data) == {"p": "pid", "v": "1.2.3", "m": 2}


@pytest.mark.parametrize("mode", [b"", b"\x0d\x05", b"\x0d\x05\x01"])
def test_the_mcu_says_its_working_mode(mode: bytes) -> None:
    assert tell(Mcu(PRODUCT, mode), Command.WORKING_MODE) == [Frame(3, 2, mode)]


def test_the_mcu_learns_of_the_network() -> None:
    mcu = Mcu(PRODUCT)
    assert mcu.network_status is None
    for byte, status in [(4, NetworkStatus.CLOUD), (0, NetworkStatus.PAIRING_EZ), (77, 77)]:
        assert tell(mcu, Command.NETWORK_STATUS, bytes([byte])) == [Frame(3, 3, b"")]
        assert mcu.network_status == status
    assert tell(mcu, Command.NETWORK_STATUS, b"\1\2") == [Frame(3, 3, b"")]
    assert mcu.network_status == 77  # an old status holds on


def test_the_mcu_answers_a_query_in_frames_that_fit_to_the_byte() -> None:
    mcu = Mcu(PRODUCT, buffer=31)  # 24 bytes of units
    assert tell(mcu, Command.QUERY_DATAPOINTS) == []
    points = [
        DataPoint(1, DataPointType.STRING, "x" * 8),  # 12 bytes: two fit exactly
        DataPoint(2, DataPointType.STRING, "y" * 8),
        DataPoint(3, DataPointType.STRING, "z" * 9),
        DataPoint(4, DataPointType.STRING, "w" * 40),  # too long: alone, for it cannot be cut
        DataPoint(5, DataPointType.BOOL, True),
    ]
    mcu.datapoints.update({point.id: point for point in points})
    found = [
        (frame.version, frame.command, [point.id for point in decode_datapoints(frame.data)])
        for frame in tell(mcu, Command.QUERY_DATAPOINTS)
    ]
    assert found == [(3, 7, [1, 2]), (3, 7, [3]), (3, 7, [4]), (3, 7, [5])]


@pytest.mark.parametrize(("data", "taken"), [(b"\1", True), (b"\0", False), (b"", False)])
def test_the_mcu_hears_whether_its_report_was_taken(data: bytes, taken: bool) -> None:
    mcu = Mcu(PRODUCT)
    assert mcu.report_result is None
    assert tell(mcu, Command.SYNC_REPORT_RESULT, data) == []
    assert mcu.report_result is taken


@pytest.mark.parametrize("command", [0x04, 0x05, 0x06, 0x07, 0x0C, 0x1C, 0x24, 0x37, 0xFE, 0xFF])
def test_the_mcu_does_not_answer_the_rest(command: int) -> None:
    mcu = Mcu(PRODUCT)
    assert tell(mcu, command, ON) == []
    assert mcu.poll(1e9) == []
    assert mcu.next_due() == math.inf


# The module


def online(now: float = 0.0, **options: object) -> Module:
    """A module whose MCU has gone through the start."""
    module = Module(**options)  # type: ignore[arg-type]
    assert poll(module, now) == asked(Command.HEARTBEAT)
    assert tell(module, 0, b"\0", now) == asked(Command.PRODUCT)
    assert tell(module, 1, b'{"p":"pid","v":"1.2.3","m":2}', now) == asked(Command.WORKING_MODE)
    (status,) = tell(module, 2, b"", now)
    assert status.command == Command.NETWORK_STATUS
    assert tell(module, 3, b"", now) == asked(Command.QUERY_DATAPOINTS)
    assert tell(module, 7, ON, now) == []
    return module


def test_the_module_starts_in_order() -> None:
    module = online(network_status=NetworkStatus.ROUTER)
    assert module.is_online
    assert module.product == PRODUCT
    assert module.working_mode == b""
    assert module.next_due() == 15
    assert poll(module, 14.9) == []


def test_heartbeats_each_second_until_one_is_answered_and_then_each_15() -> None:
    module = Module()
    sent = [now / 10 for now in range(40) if poll(module, now / 10)]
    assert sent == [0, 1, 2, 3]
    assert not module.is_online
    tell(module, 0, b"\1", 3.5)
    assert module.is_online
    module = online(10)
    assert poll(module, 24.9) == []
    assert poll(module, 25) == asked(Command.HEARTBEAT)
    assert tell(module, 0, b"\1", 25.1) == []
    assert module.next_due() == pytest.approx(40.1)


def test_the_mcu_is_offline_after_three_seconds_and_back_with_the_next_answer() -> None:
    module = online()
    assert poll(module, 15) == asked(Command.HEARTBEAT)
    assert module.next_due() == 18
    assert poll(module, 17.9) == []
    assert module.is_online
    assert poll(module, 18) == asked(Command.HEARTBEAT)
    assert not module.is_online
    assert poll(module, 18.9) == []
    assert poll(module, 19) == asked(Command.HEARTBEAT)
    # It was not restarted; and yet it may have missed what was said meanwhile.
    assert tell(module, 0, b"\1", 19.5) == asked(Command.PRODUCT)
    assert module.is_online


def test_a_restart_that_a_heartbeat_tells_starts_over() -> None:
    module = online()
    assert poll(module, 15) == asked(Command.HEARTBEAT)
    assert tell(module, 0, b"\0", 15.1) == asked(Command.PRODUCT)
    assert tell(module, 1, b"old", 15.2) == asked(Command.WORKING_MODE)
    assert tell(module, 0, b"\0", 15.3) == asked(Command.PRODUCT)  # in the middle of the start


def test_steps_are_repeated_after_a_second_and_left_out_after_three_tries() -> None:
    module = Module()
    poll(module, 0)
    assert tell(module, 0, b"\0", 0) == asked(Command.PRODUCT)
    assert poll(module, 0.9) == []
    sent = [(now, poll(module, now)) for now in range(1, 13)]
    expected = [1] * 2 + [2] * 3 + [3] * 3 + [8] * 3
    assert [frame.command for _, each in sent for frame in each] == expected
    assert [now for now, each in sent if each] == list(range(1, 12))
    assert module.next_due() == 15


def test_an_mcu_that_answers_heartbeats_alone_is_introduced_after_three_tries() -> None:
    module = Module()
    poll(module, 0)
    tell(module, 0, b"\0", 0)
    assert [module.is_introduced for now in (1, 2, 3) if poll(module, now)] == [False, False, True]
    assert tell(module, 1, b"late", 3.5) == []
    assert module.product == Product("late")


def test_a_query_that_is_lost_is_asked_again_until_there_is_a_report() -> None:
    module = online()
    assert frames(module.query(20)) == asked(8)
    assert [now for now in range(20, 30) if asked(8)[0] in poll(module, now)] == [21, 22]
    assert frames(module.query(40)) == asked(8)
    assert tell(module, 7, ON, 40.5) == []
    assert asked(8)[0] not in poll(module, 41)


def test_an_answer_out_of_turn_moves_nothing() -> None:
    module = Module()
    poll(module, 0)
    tell(module, 0, b"\0", 0)
    assert tell(module, 2, b"\1\2", 0) == []
    assert tell(module, 3, b"", 0) == []
    assert tell(module, 1, b"pid", 0) == asked(Command.WORKING_MODE)
    assert tell(module, 1, b"pid", 0) == []  # doubled


@pytest.mark.parametrize(
    ("data", "product"),
    [
        (b'{"p":"pid","v":"1.2.3","m":2}', PRODUCT),
        (b'{"p":"pid","v":"1.2.3","m":2,"mt":10,"n":0}', PRODUCT),
        (b'{"p":"pid"}', Product("pid")),
        (b"RN2FVAgXG6WfAktU", Product("RN2FVAgXG6WfAktU")),
        (b"", Product("")),
        (b"\xff", Product("\N{REPLACEMENT CHARACTER}")),
        (b'{"v":"1"}', Product('{"v":"1"}')),
    ],
)
def test_products_also_in_plain_text(data: bytes, product: Product) -> None:
    assert Product.decode(data) == product


@pytest.mark.parametrize("open_", [b"[", b'{"x":'])
def test_a_product_that_is_nested_deeply_is_plain_text(open_: bytes) -> None:
    module = Module()
    tell(module, 0, b"\0")
    data = b'{"p":"pid","x":' + open_ * 3000
    assert tell(module, 1, data) == asked(Command.WORKING_MODE)
    assert module.product == Product(data.decode())


def test_the_time() -> None:
    zone = timezone(timedelta(hours=2))
    module = Module(clock=lambda: datetime(2026, 3, 1, 1, 2, 3, tzinfo=zone))  # a Sunday
    assert tell(module, 0x0C) == asked(0x0C, bytes([1, 26, 2, 28, 23, 2, 3]))
    assert tell(module, 0x1C) == asked(0x1C, bytes([1, 26, 3, 1, 1, 2, 3, 7]))
    module = Module(clock=lambda: datetime(2026, 3, 2, tzinfo=UTC))
    assert tell(module, 0x1C) == asked(0x1C, bytes([1, 26, 3, 2, 0, 0, 0, 1]))


@pytest.mark.parametrize("year", [None, 1970, 1999, 2256])
def test_a_clock_that_cannot_be_told_is_no_time(year: int | None) -> None:
    clock = None if year is None else lambda: datetime(year, 7, 1, tzinfo=UTC)
    assert tell(Module(clock=clock), 0x0C) == asked(0x0C, bytes(7))
    assert tell(Module(clock=clock), 0x1C) == asked(0x1C, bytes(8))


@pytest.mark.parametrize(("rssi", "byte"), [(0, 0), (-1, 255), (-60, 196), (-128, 128)])
def test_the_signal_strength_has_a_sign(rssi: int, byte: int) -> None:
    module = Module()
    module.rssi = rssi
    assert tell(module, 0x24) == asked(0x24, bytes([byte]))


@pytest.mark.parametrize(("command", "data"), [(4, b""), (5, b""), (5, b"\0"), (5, b"\1")])
def test_resets_are_acknowledged_and_the_network_status_told_again(
    command: int, data: bytes
) -> None:
    module = Module()
    assert tell(module, command, data, 5) == asked(command)
    assert asked(3, b"\4")[0] in poll(module, 5.45)
    module = online()
    assert tell(module, command, data, 5) == asked(command)
    assert module.next_due() == 5.45
    assert poll(module, 5.45) == asked(3, b"\4")
    assert poll(module, 6.45) == asked(3, b"\4")
    assert tell(module, 3, b"", 7) == []
    assert module.next_due() == 15


def test_a_report_of_a_low_power_sensor_is_no_reset() -> None:
    assert tell(Module(), 5, bytes.fromhex("0104000100")) == []


@pytest.mark.parametrize(
    ("command", "data", "answer"),
    [
        (0x0E, b"", b"\0\0"),
        (0x20, b"\x06w.temp", b"\0\2"),
        (0x25, b"", b""),
        (0x2B, b"", b"\4"),
        (0x2D, b"", b"\1\0\0\0\0\0\0"),
        (0x34, b"\3", b"\3\1"),
        (0x34, b"\4", b"\4\0"),
        (0x34, b"\x0b\1\x18\5\6\7\x08\x09\0" + ON, b"\x0b\0"),
        (0x34, b"\x0b\1\x18\5\6\7\x08\x09\0" + ON[:-1], b"\x0b\1"),
    ],
)
def test_what_few_mcus_ask_for_is_answered_once_or_refused(
    command: int, data: bytes, answer: bytes
) -> None:
    module = online()
    assert tell(module, command, data) == asked(command, answer)
    module.left_to_program.add(command)
    assert tell(module, command, data) == (asked(0x25) if command == 0x25 else [])
    if answer:
        assert tell(online(), command, answer) == []  # a line that echoes


def test_a_report_with_a_time_brings_datapoints() -> None:
    units = Module().units(Frame(3, 0x34, b"\x0b\1\x18\5\6\7\x08\x09\0" + ON))
    assert units == ON
    assert Module().units(Frame(3, 0x34, b"\x0b\1\x18\5\6\7\x08\x09\0")) is None


def test_no_heartbeats_for_an_mcu_that_wants_none_until_it_starts_again() -> None:
    module = online()
    assert tell(module, 0x25) == asked(0x25)
    assert tell(module, 0, b"\1", 1) == []  # to one that was on its way
    assert (module.next_due(), module.is_online) == (math.inf, True)
    assert tell(module, 0, b"\0", 60) == asked(1)
    assert tell(module, 1, b"pid", 60) == asked(2)
    assert poll(module, 75)[0] == asked(0)[0]


@pytest.mark.parametrize(
    ("units", "taken"),
    [
        (ON, b"\1"),
        (ON + ON, b"\1"),
        (b"", b"\1"),
        (ON[:-1], b"\0"),
        (ON + b"\1", b"\1"),  # what makes sense is taken, or the MCU repeats it for ever
        (bytes.fromhex("0201000102") + ON, b"\1"),
        (bytes.fromhex("0101000102"), b"\0"),
        (bytes.fromhex("0109000101"), b"\0"),
        (bytes.fromhex("e8030001ff"), b"\0"),
    ],
)
def test_a_synchronous_report_is_answered(units: bytes, taken: bytes) -> None:
    assert tell(Module(), 0x22, units) == asked(0x23, taken)


@pytest.mark.parametrize("command", [0x06, 0x07, 0x08, 0x23, 0x37, 0xFE, 0xFF])
def test_the_module_does_not_answer_the_rest(command: int) -> None:
    module = online()
    assert tell(module, command, ON) == []


def test_another_network_status_is_told_and_held() -> None:
    module = online()
    assert frames(module.set_network_status(NetworkStatus.NO_ROUTER, 0)) == asked(3, b"\2")
    assert poll(module, 1) == asked(3, b"\2")  # the first one was lost
    tell(module, 0, b"\0", 1)
    tell(module, 1, b"pid", 1)
    assert tell(module, 2, b"", 1) == asked(3, b"\2")
    assert module.set_network_status(NetworkStatus.ROUTER, 1) != []
    assert poll(module, 2) == asked(3, b"\3")
    assert tell(module, 3, b"", 2) == asked(8)


def test_a_working_mode_that_nobody_asked_for_is_none() -> None:
    module = online()
    for data in (b"\xff\1\1", b"\1\x24\2\1\x0a"):  # turns of a knob
        assert tell(module, 2, data) == []
        assert module.working_mode == b""


def test_a_query_makes_reports_old_for_a_while() -> None:
    module = Module()
    assert not module.is_replaying(0)
    assert frames(module.query(10)) == asked(8)
    assert module.is_replaying(10)
    assert module.is_replaying(12.9)
    assert not module.is_replaying(13)


# Both


class EchoingLine:
    """A line of RS-485: who sends hears it before the other end's answer."""

    def __init__(self, *ends: Role) -> None:
        self.ends = ends
        self.count = 0

    def carry(self, sent: list[bytes], by: Role, now: float) -> None:
        for frame in frames(sent):
            self.count += 1
            assert self.count < 1000, "they answer themselves for ever"
            for end in (by, *(each for each in self.ends if each is not by)):
                self.carry(end.take(frame, now), end, now)

    def run_until(self, end: float) -> None:
        for tenth in range(int(end * 10)):
            for each in self.ends:
                self.carry(each.poll(tenth / 10), each, tenth / 10)


@pytest.mark.parametrize("mode", [b"", b"\1\2"])
def test_on_a_line_that_echoes_both_ends_get_to_know_each_other(mode: bytes) -> None:
    module, mcu = Module(), Mcu(PRODUCT, mode)
    mcu.datapoints[1] = DataPoint(1, DataPointType.BOOL, True)
    line = EchoingLine(module, mcu)
    line.run_until(40)
    assert module.is_online
    assert module.product == PRODUCT
    assert module.working_mode == mode
    assert mcu.network_status is NetworkStatus.CLOUD
    assert line.count < 25
    line.carry([mcu.encode(Command.RESET)], mcu, 41)
    line.carry([mcu.encode(0x25)], mcu, 42)
    assert line.count < 35


@pytest.mark.parametrize("command", [0, 1, 2, 3, 4, 5, 8, 0x0C, 0x1C, 0x24, 0x25, 0x2B, 0x2D])
def test_an_end_alone_on_a_line_that_echoes_answers_once_and_meets_nobody(command: int) -> None:
    module = Module()
    EchoingLine(module).run_until(20)
    assert not module.is_online
    assert module.product is None
    assert module.echoes >= 20
    for role in (Module(), Mcu(PRODUCT)):
        line = EchoingLine(role)
        line.carry(role.poll(0), role, 0)
        line.carry(role.take(Frame(3 - role.version, 0, b""), 0), role, 0)
        before = line.count
        line.carry(role.take(Frame(3 - role.version, command, b""), 0), role, 0)
        assert line.count <= before + 2  # an acknowledgement, and what follows a reset


class Line:
    """A line between a module and an MCU that loses frames, and its clock."""

    def __init__(self, module: Module, mcu: Mcu, loss: float, seed: int) -> None:
        self.module, self.mcu = module, mcu
        self.now = 0.0
        self.loss = loss
        self.said: list[int] = []
        self._random = random.Random(seed)

    def run_until(self, end: float) -> None:
        while (due := self.module.next_due()) <= end:
            assert due >= self.now or self.now == 0.0, "a past time is due again and again"
            self.now = max(self.now, due)
            self._carry(self.module.poll(self.now), self.mcu)
        self.now = end

    def _carry(self, encoded: list[bytes], to: Role) -> None:
        other: Role = self.mcu if to is self.module else self.module
        for frame in frames(encoded):
            self.said.append(frame.command)
            if self._random.random() >= self.loss:
                self._carry(to.take(frame, self.now), other)


def test_a_good_line_needs_each_frame_once() -> None:
    line = Line(Module(), Mcu(PRODUCT, b"\1\2"), 0, 1)
    line.mcu.datapoints[1] = DataPoint(1, DataPointType.BOOL, True)
    line.run_until(14)
    assert line.said == [0, 0, 1, 1, 2, 2, 3, 3, 8, 7]
    line.run_until(60)
    assert line.said[10:] == [0, 0] * 4
    assert line.module.product == PRODUCT
    assert line.module.working_mode == b"\1\2"
    assert line.mcu.network_status is NetworkStatus.CLOUD


@pytest.mark.parametrize("seed", range(20))
def test_a_line_that_loses_frames_gets_there(seed: int) -> None:
    line = Line(Module(), Mcu(PRODUCT), 0.4, seed)
    line.run_until(300)
    line.loss = 0
    line.run_until(320)
    assert line.module.is_online
    line.mcu = Mcu(Product("new"))  # another MCU, which has just started
    line.run_until(360)
    assert line.module.product == Product("new")
    assert line.mcu.network_status is NetworkStatus.CLOUD
    line.loss = 1
    line.run_until(380)
    assert not line.module.is_online
    before = len(line.said)
    line.run_until(390)
    assert line.said[before:] == [0] * 10
    line.loss = 0
    line.run_until(400)
    assert line.module.is_online
