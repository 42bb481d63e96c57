"""The devices of `nova load`, and what became of their reports."""

import random
import ssl
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream

from jsonrpc_iot import ConnectFailed, MalformedFrame, UsageError
from jsonrpc_iot.novacloud.messages import (
    ACK,
    Ack,
    Auth,
    AuthPayload,
    AuthResponse,
    Data,
    decode_from_platform,
    encode_line,
)

from ._statistics import Histogram

_LONGEST_LINE = 65536
_LAST_ACK_SECONDS = 5.0
_GONE = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, OSError)


class Credentials(msgspec.Struct, frozen=True):
    """Who a device is, as `device.create` of a platform tells."""

    device_id: str
    device_key: str

    def __repr__(self) -> str:
        return f"Credentials({self.device_id!r})"


class LoadReport(msgspec.Struct, frozen=True):
    """What `nova load --json` prints.

    Args:
        devices: that were asked for.
        connected: that were let in.
        failed: that could not connect, were refused, or lost their connection.
        seconds: how long reports were sent.
        reports: how many were sent.
        reports_per_second: sent.
        acknowledged: reports that the platform says are stored, `None` where it says no such thing.
        lost: reports that were not acknowledged, `None` likewise.
        unit: that of the times, which are from sending to acknowledgement.
        p50: half took no longer.
        p99: 99 % took no longer.
        max: the longest.
    """

    devices: int
    connected: int
    failed: int
    seconds: float
    reports: int
    reports_per_second: float
    acknowledged: int | None
    lost: int | None
    unit: str
    p50: float | None
    p99: float | None
    max: float | None


class Load:
    """Many devices at once.

    Args:
        rate: reports per second of each.
        duration: seconds in which they report.

    Attributes:
        times: from sending to acknowledgement.
        connected: devices that were let in.
        failed: devices that were not, or lost their connection.
        sent: reports.
        acknowledged: reports.
        acknowledges: the platform knows the extension.
        seconds: how long all of it took.
        reason: why the last device that failed did.
    """

    def __init__(self, rate: float, duration: float) -> None:
        self.times = Histogram()
        self.connected = self.failed = self.sent = self.acknowledged = 0
        self.acknowledges = True
        self.seconds = 0.0
        self.reason = "no device"
        self._pause = 1 / rate
        self._duration = duration
        self._random = random.Random(0)

    async def run(
        self,
        devices: Sequence[Credentials],
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        connecting: int,
    ) -> None:
        """Run them.

        Args:
            devices: who they are.
            host: of the platform.
            port: of the platform.
            context: for TLS, `None` without.
            connecting: how many may connect at a time.
        """
        slots = anyio.Semaphore(connecting)

        async def one(who: Credentials) -> None:
            stream: ByteStream | None = None
            try:
                async with slots:
                    stream = await anyio.connect_tcp(host, port)
                    if context is not None:
                        stream = await TLSStream.wrap(
                            stream, hostname=host, ssl_context=context, standard_compatible=False
                        )
                await self._drive(stream, who)
            except* (ConnectFailed, MalformedFrame, anyio.DelimiterNotFound, *_GONE) as errors:
                self.failed += 1
                self.reason = str(errors.exceptions[0])
            finally:
                if stream is not None:
                    await anyio.aclose_forcefully(stream)

        begun = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for who in devices:
                tasks.start_soon(one, who)
        self.seconds = anyio.current_time() - begun

    async def _drive(self, stream: ByteStream, who: Credentials) -> None:
        """Be one device on a connected stream."""
        lines = BufferedByteReceiveStream(stream)
        payload = AuthPayload(
            device_id=who.device_id,
            device_key=who.device_key,
            ext=[ACK],
            outbox_id=f"load-{time.time_ns():x}-{self._random.getrandbits(32):x}",
        )
        await stream.send(encode_line(Auth(payload=payload)))
        answer = decode_from_platform(await lines.receive_until(b"\n", _LONGEST_LINE))
        if not isinstance(answer, AuthResponse) or answer.payload.status != "success":
            raise ConnectFailed(f"{who.device_id}: refused")
        self.connected += 1
        acknowledges = ACK in answer.payload.ext
        self.acknowledges = self.acknowledges and acknowledges
        waiting: deque[tuple[int, float]] = deque()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, lines, waiting)
            await self._report(stream, waiting if acknowledges else None)
            with anyio.move_on_after(_LAST_ACK_SECONDS):
                await self._all_acknowledged(waiting)
            tasks.cancel_scope.cancel()

    async def _all_acknowledged(self, waiting: deque[tuple[int, float]]) -> None:
        # An event for each report would cost more than looking now and then.
        while waiting:  # noqa: ASYNC110
            await anyio.sleep(0.05)

    async def _report(self, stream: ByteStream, waiting: deque[tuple[int, float]] | None) -> None:
        now = anyio.current_time()
        due = now + self._random.uniform(0, self._pause)  # not all in the same moment
        end, seq = now + self._duration, 0
        while due < end:
            await anyio.sleep_until(due)
            due += self._pause
            seq += 1
            values = {"temperature": round(self._random.uniform(15, 30), 2)}
            data = Data(payload=values, timestamp=round(time.time(), 3))
            if waiting is not None:
                data = Data(payload=values, timestamp=data.timestamp, seq=seq)
                waiting.append((seq, anyio.current_time()))
            await stream.send(encode_line(data))
            self.sent += 1

    async def _read(
        self, lines: BufferedByteReceiveStream, waiting: deque[tuple[int, float]]
    ) -> None:
        while True:
            message = decode_from_platform(await lines.receive_until(b"\n", _LONGEST_LINE))
            if isinstance(message, Ack):
                now = anyio.current_time()
                while waiting and waiting[0][0] <= message.payload.upto:
                    self.times.add(now - waiting.popleft()[1])
                    self.acknowledged += 1


def read_keys(path: Path) -> list[Credentials]:
    """Read who the devices are.

    Raises:
        UsageError: the file cannot be read, or has none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--keys {path}: {error.strerror}") from None
    try:
        if data.lstrip().startswith(b"["):
            found = msgspec.json.decode(data, type=list[Credentials])
        else:
            found = [_credentials(line) for line in data.splitlines() if line.strip()]
    except (msgspec.MsgspecError, UnicodeError, ValueError):  # whose text may quote a key
        raise UsageError(f"--keys {path}: a line is no id with a key") from None
    if not found:
        raise UsageError(f"--keys {path}: no devices")
    return found


def _credentials(line: bytes) -> Credentials:
    if line.lstrip().startswith(b"{"):
        return msgspec.json.decode(line, type=Credentials)
    device_id, key = line.decode().replace(",", " ").split()
    return Credentials(device_id, key)


def report_of(state: Load, devices: int) -> LoadReport:
    """What came of it."""
    return LoadReport(
        devices=devices,
        connected=state.connected,
        failed=state.failed,
        seconds=round(state.seconds, 3),
        reports=state.sent,
        reports_per_second=round(state.sent / state.seconds, 1) if state.seconds else 0.0,
        acknowledged=state.acknowledged if state.acknowledges else None,
        lost=state.sent - state.acknowledged if state.acknowledges else None,
        unit="ms",
        p50=state.times.quantile(0.5),
        p99=state.times.quantile(0.99),
        max=state.times.quantile(1),
    )
