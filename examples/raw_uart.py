"""Call a device on a serial line with nothing but Python: `python raw_uart.py /dev/ttyUSB0`."""

import os
import select
import sys
import termios
import tty

REQUEST = b'{"method":"wifi.status","id":1}'

port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(port)
settings = termios.tcgetattr(port)
settings[4] = settings[5] = termios.B115200
termios.tcsetattr(port, termios.TCSANOW, settings)

head = b"\x55\xaa\x00\xfe" + len(REQUEST).to_bytes(2, "big") + REQUEST
os.write(port, head + bytes([sum(head) % 256]))

received = b""
while select.select([port], [], [], 5)[0]:
    received += os.read(port, 4096)
    reply = received.partition(b"\x55\xaa\x00\xfe")[2]
    size = int.from_bytes(reply[:2], "big")
    if len(reply) >= size + 3:  # its length, the message, and the checksum
        print(reply[2 : size + 2].decode())
        break
else:
    sys.exit("no answer")
