"""What `trace` shows of a line beside the messages: every frame and every other byte."""

from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.improv.messages import Call, Command, WifiSettings
from jsonrpc_iot.protocol.improv.serial import call_packet
from jsonrpc_iot.protocol.tuya.frame import Frame, FrameDecoder, encode_frame
from jsonrpc_iot.transports.serial.trace import FrameTrace

frames = st.builds(encode_frame, st.integers(0, 255), st.binary(max_size=12), st.integers(0, 255))
broken = frames.map(lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]))
inside = frames.map(lambda frame: encode_frame(0xFE, b"(" + frame + b")"))
cut_off = st.tuples(frames, frames).map(lambda two: two[0][:5] + two[1])
noise = st.one_of(st.binary(max_size=9), st.sampled_from([b"\x55", b"\x55\xaa", b"\x55\xaa\x00"]))
lines = st.lists(st.one_of(frames, broken, inside, cut_off, noise), max_size=12).map(b"".join)


@given(line=lines, cuts=st.lists(st.integers(1, 9), min_size=1, max_size=40), silence=st.booleans())
def test_all_bytes_are_shown_in_order_and_as_what_they_are(
    line: bytes, cuts: list[int], silence: bool
) -> None:
    shown: list[tuple[str, bytes]] = []
    decoder = FrameDecoder(max_data=64)
    trace = FrameTrace(lambda mark, data: shown.append((mark, data)), decoder)
    found: list[Frame] = []
    at, step = 0, 0
    while at < len(line):
        piece = line[at : at + cuts[step % len(cuts)]]
        at, step = at + len(piece), step + 1
        new = decoder.feed(piece, now=float(step) if silence and step % 3 == 0 else 0.0)
        trace.took(piece, new)
        found += new
    new = decoder.expire(now=1e9)
    trace.took(b"", new)
    found += new

    assert b"".join(data for _, data in shown) == line
    whole = [encode_frame(frame.command, frame.data, frame.version) for frame in found]
    assert [data for mark, data in shown if mark == "<="] == whole
    assert sum(len(data) for mark, data in shown if mark == "<?") == decoder.noise_bytes


@given(before=noise, size=st.integers(1, 60), cut=st.integers(0, 12))
def test_no_key_is_shown_that_goes_by_as_noise(before: bytes, size: int, cut: int) -> None:
    settings = Call(Command.WIFI_SETTINGS, WifiSettings("home", "correct horse").encode())
    packet = call_packet(settings).encode()
    line = before + packet[: len(packet) - cut] + b"text" * 70 + encode_frame(0xFE, b"{}")
    shown: list[bytes] = []
    decoder = FrameDecoder(max_data=64)
    trace = FrameTrace(lambda mark, data: shown.append(data), decoder)
    for at in range(0, len(line), size):
        piece = line[at : at + size]
        trace.took(piece, decoder.feed(piece, 0.0))
    trace.took(b"", decoder.expire(1e9))
    everything = b"".join(shown)

    assert len(everything) == len(line)
    assert b"IMPROV" in everything
    assert not any(part in everything for part in (b"corr", b"horse", b"home"))
    assert everything.endswith(b"text" + encode_frame(0xFE, b"{}"))
