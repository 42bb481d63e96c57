"""Runs the cases against a device and gives each its verdict.

Behind each case goes a call that has to be answered, so that silence is told from slowness, and
what a case broke is blamed on that case.
"""

from collections.abc import Callable, Iterator, Sequence

import anyio

from ...channel.tasks import task_group
from ...channel.url import Url
from ...errors import ConnectFailed, MessageTooLarge, Unencodable, UsageError
from . import extensions, framing, http, messages, rules, streams, subscriptions, texts, traffic
from .case import Case
from .device import Device, Given, get_to_know
from .exchange import Exchange
from .line import Line, value_of
from .model import PROFILES, CaseReport, LineEnded, Profile, Report, Section, Unchecked, Verdict
from .replies import busy_seconds, message_faults
from .talk import Talk
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
    ("streams and cancellation", streams.streams),
    ("subscriptions", subscriptions.subscriptions),
    ("timing", traffic.timing),
    ("framing", framing.framing),
    ("HTTP", http.http),
    ("sizes", traffic.sizes),
)

_BUSY_TIMES = 3
"""How often a device that is busy is asked again, each time after the pause that it wants."""

_RETRY_SECONDS = 0.1
"""Between attempts to reach a device that a case has broken."""

_LATE_SECONDS = 0.02
"""Seconds for what should not come, where it may be overtaken by what is sent after it."""


async def check_conformance(
    url: str,
    *,
    profile: Profile = "standard",
    methods: Sequence[Given | tuple[str, str]] = (),
    timeout: float = 2.0,
    restart: float = 10.0,
    progress: Callable[[str], object] = lambda section: None,
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
        progress: is told which section begins.

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
            sections = await _check(line, profile, given, timeout, restart, progress)
        finally:
            with anyio.CancelScope(shield=True):
                await line.aclose()
            tasks.cancel_scope.cancel()
    ok = all(section.verdict != "fail" for section in sections)
    return Report(str(Url.parse(url)), profile, ok, sections)


async def _check(
    line: Line,
    profile: Profile,
    given: Sequence[Given],
    timeout: float,
    restart: float,
    progress: Callable[[str], object],
) -> list[Section]:
    try:
        device = await get_to_know(line, profile, given, timeout)
    except LineEnded as error:
        raise ConnectFailed(f"{line.url}: {error}, and nothing was answered") from None
    runner = _Runner(Exchange(line, device, timeout), restart)
    found = []
    asked = PROFILES[: PROFILES.index(profile) + 1]
    for number, (name, cases) in enumerate(_SECTIONS, 1):
        progress(f"{name} ({number} of {len(_SECTIONS)})")
        reports = [await runner.run(case) for case in cases(device) if case.profile in asked]
        if name == "sizes":
            reports.append(runner.largest())
        found.append(Section.of(name, reports))
    return found


class _Runner:
    """Sends cases, one after the other.

    Args:
        exchange: with the device.
        restart: seconds that it may take the device to come back.
    """

    def __init__(self, exchange: Exchange, restart: float) -> None:
        self._exchange = exchange
        self._line = exchange.line
        self._device = exchange.device
        self._restart = restart
        self._is_gone = ""

    async def run(self, case: Case) -> CaseReport:
        """Send a case, and judge what comes back."""
        if case.inapplicable:
            return _report(case, "not applicable", (), case.inapplicable)
        if case.unverified or self._is_gone:
            return _report(case, "not verified", (), case.unverified or self._is_gone)
        if too_large := [each for each in case.sent if not self._device.info.fits(each)]:
            size = f"{len(too_large[0])} bytes are more than the link carries"
            return _report(case, "not applicable", (), size)
        tries, waits = self._exchange.tries, _BUSY_TIMES
        before = list[bytes]()
        while True:
            talk = Talk(self._exchange)
            report = await self._try(case, talk)
            pause = busy_seconds(list(map(value_of, talk.received)))
            if report.verdict == "fail" and pause is not None and waits:
                waits -= 1
                await anyio.sleep(pause)
            elif report.verdict != "fail" or pause is not None or tries == 1 or self._is_gone:
                break
            elif len(before) >= max(case.wanted, 1) and talk.received == before:
                break  # nothing is lost: the device says so each time
            else:  # it may have been the link, if that loses messages
                tries, before = tries - 1, talk.received
        self._exchange.judge(talk.received)
        if report.verdict == "fail" and pause is not None:
            return _report(case, "not verified", talk.received, "the device stays busy")
        return report

    async def _try(self, case: Case, talk: Talk) -> CaseReport:
        try:
            why = await self._attempt(case, talk)
        except (MessageTooLarge, Unencodable) as error:
            return _report(case, "not applicable", (), f"the link does not carry it: {error}")
        except Unchecked as error:
            return _report(case, error.verdict, talk.received, error.why, talk.sent)
        except LineEnded as error:
            await self._recover()
            is_back = case.may_end and not self._is_gone
            fault = _fault(case, talk.received) if is_back else ""
            why = "" if is_back and not fault else "; ".join(filter(None, (str(error), fault)))
        received = talk.received
        if case.lacks is not None and (reason := case.lacks(list(map(value_of, received)))):
            return _report(case, "not applicable", received, reason)
        return _report(case, "fail" if why else "pass", received, why, talk.sent)

    async def _attempt(self, case: Case, talk: Talk) -> str:
        """What is wrong with the answers, which are put where the talk has them."""
        exchange, received = self._exchange, talk.received
        if case.talk is not None:
            why = await case.talk(talk)
            return why if await exchange.is_there([]) else await self._lost()
        exchange.expect(case.sent)
        for message in case.sent:
            await self._line.send(message)
        for piece in case.pieces:
            await self._line.write(piece)
        if case.waits is not None:
            await exchange.gather(received, 1, exchange.timeout)
            exchange.repeats(received)
            await self._line.send(case.waits)
        await exchange.gather(received, case.wanted, exchange.patience)
        if self._is_answered(case, received):
            return ""
        if not await exchange.is_there(received):
            return await self._lost()
        is_one = len(case.sent) == 1
        patience = exchange.patience if is_one else exchange.timeout
        await exchange.gather(received, case.wanted, patience)
        if not case.wanted and not self._device.info.reliable:
            await exchange.gather(received, 1, _LATE_SECONDS)
        return _fault(case, received)

    def _is_answered(self, case: Case, received: Sequence[bytes]) -> bool:
        """Whether the answers prove that the device is there, where each call takes its time."""
        if self._device.info.in_flight != 1 or case.check is not None or not case.wanted:
            return False
        values = [value_of(message) for message in received]
        has_id = all(isinstance(each, dict) and each.get("id") is not None for each in values)
        return has_id and not message_faults(case.expect, values)

    async def _lost(self) -> str:
        await self._recover()
        return "the device does not answer any more"

    async def _recover(self) -> None:
        """Connect again; a device that has not come back after a while is gone."""
        with anyio.move_on_after(self._restart):
            while True:
                try:
                    await self._line.open()
                    if await self._exchange.is_there([]):
                        return
                except (LineEnded, ConnectFailed):
                    await anyio.sleep(_RETRY_SECONDS)
        self._is_gone = "the device does not answer any more"

    def largest(self) -> CaseReport:
        """Whether all that came was as small as the link wants it."""
        limit, largest = self._device.info.max_message, self._line.largest
        case = Case(name="what the device sends", rule=rules.SENT)
        if limit is None:
            return _report(case, "not applicable", (), "the transport has no limit")
        too_large = largest > limit
        why = f"a message of {largest} bytes came; {limit} are the most" if too_large else ""
        return _report(case, "fail" if why else "pass", (), why)


def _fault(case: Case, received: Sequence[bytes]) -> str:
    """What is wrong with the answers."""
    values = [value_of(message) for message in received]
    if case.check is not None:
        return case.check(values)
    found = [message_faults(expect, values) for expect in (case.expect, *case.also)]
    return "; ".join(found[0]) if all(found) else ""


def _report(
    case: Case,
    verdict: Verdict,
    received: Sequence[bytes],
    why: str,
    said: Sequence[bytes] = (),
) -> CaseReport:
    """The report of a case; `said` is what a dialogue has sent."""
    whole = (b"".join(case.pieces),) if case.pieces else ()
    waits = () if case.waits is None else (case.waits,)
    sent = (*case.sent, *whole, *waits, *said)
    return CaseReport(case.name, verdict, shown(sent), shown(received), case.rule, why)
