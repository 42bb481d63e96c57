"""Runs the cases against a device and gives each its verdict.

Behind each case goes a call that has to be answered, so that silence is told from slowness, and
what a case broke is blamed on that case.
"""

from collections.abc import Callable, Iterator, Sequence

import anyio

from ...channel.tasks import task_group
from ...channel.url import Url
from ...errors import ConnectFailed, MessageTooLarge, Unencodable, UsageError
from . import extensions, messages, texts, traffic
from .device import Device, Given, get_to_know
from .line import Line, LineEnded, value_of
from .model import PROFILES, Case, CaseReport, Profile, Report, Section, Verdict
from .replies import message_faults
from .written import shown

_SECTIONS: tuple[tuple[str, Callable[[Device], Iterator[Case]]], ...] = (
    ("answers", messages.answers),
    ("ids", messages.ids),
    ("envelope", messages.envelope),
    ("parsing and recovery", texts.parsing),
    ("batches", texts.batches),
    ("notifications", messages.notifications),
    ("unknown members", messages.members),
    ("calls", messages.calls),
    ("duplicates and late copies", traffic.copies),
    ("pipelining and floods", traffic.pipelining),
    ("methods under rpc.", extensions.about),
    ("extensions", extensions.extensions),
    ("sizes", traffic.sizes),
)

_TRIES = 3
"""How often what may have been lost is sent on a link that loses messages."""

_RETRY_SECONDS = 0.1
"""Between attempts to reach a device that a case has broken."""

_NO_ID = str(None)

_LATE_SECONDS = 0.02
"""Seconds for what should not come, where it may be overtaken by what is sent after it."""

_PATIENCE = 0.25
"""Seconds for an answer before the next call is sent behind the request; slow links take more."""


async def check_conformance(
    url: str,
    *,
    profile: Profile = "standard",
    methods: Sequence[Given | tuple[str, str]] = (),
    timeout: float = 2.0,
    restart: float = 10.0,
) -> Report:
    """Hold a device against the protocol, from outside.

    No method is called but those that are given, and those that the device's document marks as
    reading. The device is asked with `rpc.ping`, `rpc.methods` and `rpc.discover` what it has; what
    it lacks and need not have is no failure.

    Args:
        url: where the device is.
        profile: what it has to do: `minimal`, answer requests; `standard`, what the source of the
            protocol says; `full`, all of it, extensions where it has them included.
        methods: may be called, each with its params as JSON text, `""` for none. The first one is
            what most cases call.
        timeout: seconds that an answer may take.
        restart: seconds that the device may take to come back after a case has broken it.

    Raises:
        UsageError: there is no such profile, or the URL names another codec than JSON.
        InvalidUrl: the URL makes no sense.
        ConnectFailed: nobody answers there.
    """
    if profile not in PROFILES:
        raise UsageError(f"{profile!r} is no profile; there are {', '.join(PROFILES)}")
    given = [each if isinstance(each, Given) else Given(*each) for each in methods]
    async with task_group() as tasks:
        line = Line(url, tasks)
        await line.open()
        try:
            if line.info.codec != "json":
                raise UsageError("conformance speaks JSON: leave ?codec= out")
            sections = await _check(line, profile, given, timeout, restart)
        finally:
            with anyio.CancelScope(shield=True):
                await line.aclose()
            tasks.cancel_scope.cancel()
    ok = all(section.verdict != "fail" for section in sections)
    return Report(str(Url.parse(url)), profile, ok, sections)


async def _check(
    line: Line, profile: Profile, given: Sequence[Given], timeout: float, restart: float
) -> list[Section]:
    try:
        device = await get_to_know(line, profile, given, timeout)
    except LineEnded as error:
        raise ConnectFailed(f"{line.url}: {error}, and nothing was answered") from None
    runner = _Runner(line, device, timeout, restart)
    found = []
    asked = PROFILES[: PROFILES.index(profile) + 1]
    for name, cases in _SECTIONS:
        reports = [await runner.run(case) for case in cases(device) if case.profile in asked]
        if name == "sizes":
            reports.append(runner.largest())
        found.append(Section.of(name, reports))
    return found


class _Runner:
    """Sends cases, one after the other.

    Args:
        line: to the device.
        device: is known.
        timeout: seconds that an answer may take.
        restart: seconds that it may take the device to come back.
    """

    def __init__(self, line: Line, device: Device, timeout: float, restart: float) -> None:
        self._line = line
        self._device = device
        self._timeout = timeout
        self._restart = restart
        self._is_gone = ""
        self._asked = set[str]()
        self._judged = set[bytes]()
        self._open = set[str]()  # ids of the case; some are those of a case before
        self._doubled_from = 0  # in what was received: those before may come again
        slow = device.info.retry_seconds_per_byte * (device.info.max_message or 0)
        self._patience = min(_PATIENCE + slow, timeout)
        self._tries = 1 if device.info.reliable else _TRIES

    async def run(self, case: Case) -> CaseReport:
        """Send a case, and judge what comes back."""
        if case.inapplicable:
            return _report(case, "not applicable", (), case.inapplicable)
        if case.unverified or self._is_gone:
            return _report(case, "not verified", (), case.unverified or self._is_gone)
        if too_large := [each for each in case.sent if not self._device.info.fits(each)]:
            size = f"{len(too_large[0])} bytes are more than the link carries"
            return _report(case, "not applicable", (), size)
        why, received = "", list[bytes]()
        for _ in range(self._tries):
            received = []
            try:
                why = await self._exchange(case, received)
            except (MessageTooLarge, Unencodable) as error:
                return _report(case, "not applicable", (), f"the link does not carry it: {error}")
            except LineEnded as error:
                why = str(error)
                await self._recover()
                break
            if not why:
                break  # else it may have been the link, if that loses messages
        self._judged.update(received)
        if case.lacks is not None and (reason := case.lacks(list(map(value_of, received)))):
            return _report(case, "not applicable", received, reason)
        return _report(case, "fail" if why else "pass", received, why)

    async def _exchange(self, case: Case, received: list[bytes]) -> str:
        """What is wrong with the answers, which are put into `received`."""
        self._doubled_from = 0
        self._open = set(map(_id_of, case.sent))
        for message in case.sent:
            await self._line.send(message)
        if case.waits is not None:
            await self._gather(received, 1, self._timeout)
            self._doubled_from = len(received)
            await self._line.send(case.waits)
        await self._gather(received, case.wanted, self._patience)
        if not await self._is_there(received):
            await self._recover()
            return "the device does not answer any more"
        is_one = len(case.sent) == 1
        await self._gather(received, case.wanted, self._patience if is_one else self._timeout)
        if not case.wanted and not self._device.info.reliable:
            await self._gather(received, 1, _LATE_SECONDS)
        values = [value_of(message) for message in received]
        if case.check is not None:
            return case.check(values)
        found = [message_faults(expect, values) for expect in (case.expect, *case.also)]
        return "; ".join(found[0]) if all(found) else ""

    async def _gather(self, received: list[bytes], wanted: int, seconds: float) -> None:
        """Receive until there is as much as is wanted, or nothing comes for so long."""
        while len(received) < wanted:
            message = await self._line.receive(seconds)
            if message is None:
                return
            self._take(message, received)

    async def _is_there(self, received: list[bytes]) -> bool:
        """Whether a call is answered; all else that comes meanwhile is put into `received`."""
        ids = set[str]()
        for _ in range(self._tries):
            id = next(self._device.ids)
            ids.add(str(id))
            self._asked.add(str(id))
            await self._line.send(self._device.request(id))
            while (message := await self._line.receive(self._timeout)) is not None:
                if _id_of(message) in ids:
                    return True
                self._take(message, received)
        return False

    def _take(self, message: bytes, received: list[bytes]) -> None:
        """Put a message into `received`, unless it is one that the link has doubled or held up."""
        id = _id_of(message)
        is_judged = id != _NO_ID and id not in self._open and message in self._judged
        is_late = id in self._asked or is_judged
        is_known = is_late or message in received[self._doubled_from :]
        if self._device.info.reliable or not is_known:
            received.append(message)

    async def _recover(self) -> None:
        """Connect again; a device that has not come back after a while is gone."""
        with anyio.move_on_after(self._restart):
            while True:
                try:
                    await self._line.open()
                    if await self._is_there([]):
                        return
                except (LineEnded, ConnectFailed):
                    await anyio.sleep(_RETRY_SECONDS)
        self._is_gone = "the device does not answer any more"

    def largest(self) -> CaseReport:
        """Whether all that came was as small as the link wants it."""
        limit, largest = self._device.info.max_message, self._line.largest
        rule = "Messages are generally not larger than the transport's limit."
        case = Case(name="what the device sends", rule=rule)
        if limit is None:
            return _report(case, "not applicable", (), "the transport has no limit")
        too_large = largest > limit
        why = f"a message of {largest} bytes came; {limit} are the most" if too_large else ""
        return _report(case, "fail" if why else "pass", (), why)


def _id_of(message: bytes) -> str:
    value = value_of(message)
    return str(value.get("id")) if isinstance(value, dict) else _NO_ID


def _report(case: Case, verdict: Verdict, received: Sequence[bytes], why: str) -> CaseReport:
    sent = case.sent if case.waits is None else (*case.sent, case.waits)
    return CaseReport(case.name, verdict, shown(sent), shown(received), case.rule, why)
