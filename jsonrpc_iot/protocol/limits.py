"""What one peer may cost us. Every bound of the protocol is here, with its default."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds for one server or client; the defaults are safe on an open network.

    Args:
        nesting: levels of arrays and objects in one message.
        batch: messages in one batch.
        in_flight: calls of one peer that run at once. Over it a reliable channel is not read.
        queue_bytes: bytes that wait to be sent to one peer. Over it a push is dropped and counted,
            and a reply makes its sender wait.
        receive_bytes: size of the largest message that a stream transport or MQTT takes in.
        message_seconds: how long a message on a stream may stay unfinished.
        send_seconds: how long a peer may read nothing at all before its channel is closed.
        linger_seconds: how long calls go on after the other end has stopped sending, and how long
            the channel of a peer that has too many of them is not read.
        silent_seconds: how long a peer may stay connected without ever saying anything.
        remembered: requests that may come again, on all channels that lose messages together.
        remembered_bytes: bytes of the responses to them that are kept.
        assembled_bytes: bytes of one peer's unfinished messages that arrive in segments.
        assembled_bytes_in_all: the same for all peers of a listener together.
        peers: connections that one listener serves at once. Over it new ones are turned away.
        unproved_factor: how many times the bytes that came from an address may go there before it
            has proved that it is not forged, whatever they are.
        unproved_bytes: bytes of responses that may go there beyond that in `unproved_seconds`.
        unproved_seconds: see there.
        unproved_waiting_bytes: bytes that wait until their addresses have proved to be no forged
            ones, for all peers of a listener together.
        unproved_wait_seconds: for how long.
        refusal_seconds: the longest pause before a wrong proof of who one is is answered. It grows
            with each of one address, and right ones never wait.
        refusals_waiting: wrong proofs that wait so at once, a sixteenth of them from one address.
            Over it no more are looked at, but those that a keyring knows.
        refused_addresses: addresses whose wrong proofs are counted.
    """

    nesting: int = 64
    batch: int = 256
    in_flight: int = 128
    queue_bytes: int = 1 << 20
    receive_bytes: int = 1 << 20
    message_seconds: float = 10.0
    send_seconds: float = 30.0
    linger_seconds: float = 30.0
    silent_seconds: float = 300.0
    remembered: int = 1 << 18
    remembered_bytes: int = 1 << 24
    assembled_bytes: int = 8 << 20
    assembled_bytes_in_all: int = 64 << 20
    peers: int = 10_000
    unproved_factor: int = 3
    unproved_bytes: int = 8 << 10
    unproved_seconds: float = 10.0
    unproved_waiting_bytes: int = 32 << 20
    unproved_wait_seconds: float = 30.0
    refusal_seconds: float = 5.0
    refusals_waiting: int = 1024
    refused_addresses: int = 4096


DEFAULT_LIMITS = Limits()
