"""Virtual Bluetooth controllers on one link: bumble's, with its gaps (0.0.236) closed."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import cast, final

from bumble.controller import Controller
from bumble.core import InvalidArgumentError, PhysicalTransport
from bumble.hci import (
    Address,
    HCI_ErrorCode,
    HCI_LE_Advertising_Report_Event,
    HCI_LE_Connection_Complete_Event,
    HCI_LE_Create_Connection_Cancel_Command,
    HCI_LE_Extended_Advertising_Report_Event,
    HCI_LE_Set_Extended_Scan_Parameters_Command,
    HCI_Packet,
    HCI_StatusReturnParameters,
    Role,
)
from bumble.link import LocalLink
from bumble.ll import AdvertisingPdu, AdvExtInd, AdvInd, ConnectInd, TerminateInd
from bumble.transport.common import PacketParser, TransportSink

_Reports = HCI_LE_Advertising_Report_Event
_ExtendedReports = HCI_LE_Extended_Advertising_Report_Event
_ANSWERS = (_Reports.EventType.SCAN_RSP, _ExtendedReports.EventType.SCAN_RESPONSE)


@final
class VirtualLink(LocalLink):
    """The air between controllers.

    Attributes:
        ports: the controllers that somebody uses.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ports: set[VirtualPort] = set()

    def is_connectable(self, address: Address) -> bool:
        """Whether a controller advertises with that address."""
        return any(each == address for each, _ in self._advertised())

    def scan_response(self, address: Address) -> bytes:
        """What a controller with that address answers who scans actively."""
        return next((answer for each, answer in self._advertised() if each == address), b"")

    def _advertised(self) -> Iterator[tuple[Address | None, bytes]]:
        for controller in self.controllers:
            legacy = controller.le_legacy_advertiser
            if legacy.enabled:
                yield legacy.address, bytes(legacy.scan_response_data)
            for each in controller.advertising_sets.values():
                if each.enabled:
                    yield each.address, bytes(each.scan_response_data)

    def send_advertising_pdu(self, sender_controller: Controller, packet: AdvertisingPdu) -> None:
        """Deliver an advertisement; a request to connect at once, so that only one is first."""
        if not isinstance(packet, ConnectInd):
            super().send_advertising_pdu(sender_controller, packet)
            return
        for controller in tuple(self.controllers):
            if controller is not sender_controller:
                controller.on_ll_advertising_pdu(packet)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Deliver data from the address of its link; bumble takes the random one for all."""
        there = self.find_le_controller(destination_address)
        link = sender_controller.le_connections.get(destination_address)
        if there is not None and link is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(there.on_link_acl_data, link.self_address, transport, data)


@final
class VirtualController(Controller):
    """One controller.

    Args:
        name: for logs.
        host: what it says goes there.
        link: the air.
        public_address: its own.
    """

    def __init__(
        self, name: str, host: TransportSink, link: VirtualLink, public_address: str
    ) -> None:
        super().__init__(name, host_sink=host, link=link, public_address=public_address)
        self._air = link
        self._answer = b""

    def on_advertising_pdu(self, pdu: AdvInd | AdvExtInd) -> None:
        """Hear an advertisement, unless another has just taken who sent it."""
        if self._air.is_connectable(pdu.advertiser_address):
            self._answer = self._air.scan_response(pdu.advertiser_address)
            super().on_advertising_pdu(pdu)

    def send_hci_packet(self, packet: HCI_Packet) -> None:
        """Tell the host; bumble's answers to a scan are what was advertised, and nobody asked."""
        if isinstance(packet, _Reports | _ExtendedReports):
            for report in packet.reports:
                if report.event_type in _ANSWERS:
                    if not self.le_scan_type:
                        return
                    report.data = self._answer
        super().send_hci_packet(packet)

    def on_hci_le_set_extended_scan_parameters_command(
        self, command: HCI_LE_Set_Extended_Scan_Parameters_Command
    ) -> HCI_StatusReturnParameters:
        """Note whether the scan is an active one."""
        self.le_scan_type = max(command.scan_types)
        return super().on_hci_le_set_extended_scan_parameters_command(command)

    def on_hci_le_create_connection_cancel_command(
        self, _command: HCI_LE_Create_Connection_Cancel_Command
    ) -> HCI_StatusReturnParameters:
        """End a connecting that is under way; bumble goes on for ever."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is not None:
            event = HCI_LE_Connection_Complete_Event(
                status=HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
            asyncio.get_running_loop().call_soon(self.send_hci_packet, event)
        return super().on_hci_le_create_connection_cancel_command(_command)

    def unplug(self) -> None:
        """The host is gone, and so is the controller."""
        self.fall_silent()
        self.hci_sink = None
        self._air.remove_controller(self)

    def fall_silent(self) -> None:
        """End the links, as their supervision would, and advertise no more."""
        self.le_legacy_advertiser.stop()
        for each in self.advertising_sets.values():
            each.stop()
        for link in tuple(self.le_connections.values()):
            try:
                link.send_ll_control_pdu(TerminateInd(HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR))
            except InvalidArgumentError:  # so is the other end
                continue


@final
class VirtualPort(asyncio.Protocol):
    """A connection from a host, with a controller of its own.

    Args:
        link: the air.
    """

    _numbers = itertools.count(1)

    def __init__(self, link: VirtualLink) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Plug a controller in."""
        number = next(self._numbers)
        address = f"00:BB:00:00:{number >> 8 & 255:02X}:{number & 255:02X}"
        self._transport = cast(asyncio.Transport, transport)
        self._controller = VirtualController(f"controller {number}", self, self._link, address)
        self._parser = PacketParser(self._controller)
        self._link.ports.add(self)

    def on_packet(self, packet: bytes) -> None:
        """Hand what the controller says to the host."""
        if self._transport is not None:
            self._transport.write(packet)

    def data_received(self, data: bytes) -> None:
        """Hand what the host says to the controller."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unplug the controller."""
        self._transport = None
        self._link.ports.discard(self)
        self._controller.unplug()

    def close(self) -> None:
        """Take the controller away from its host."""
        if self._transport is not None:
            self._transport.abort()
