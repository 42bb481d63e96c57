"""Bluetooth as it is: BlueZ's daemon and the kernel on controllers in memory, in a virtual machine.

    make test-ble                    a kernel and BlueZ of Debian 13
    make test-ble RELEASE=bookworm   those of another release
    make test-ble ARGS="-k mtu -x"   ARGS goes to the pytest in the machine

The tests here run in a machine of `tests.vm`.
"""
