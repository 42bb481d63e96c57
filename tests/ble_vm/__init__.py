"""Bluetooth as it is: BlueZ's daemon and the kernel on controllers in memory, in a virtual machine.

    make test-ble                    a kernel and BlueZ of Debian 13
    make test-ble RELEASE=bookworm   those of another release
    make test-ble ARGS="-k mtu -x"   ARGS goes to the pytest in the machine

`packages` has apt fetch a kernel and BlueZ into `build/ble-vm`, `machine` boots them in qemu, and
the tests here run in it, on the files of this machine, of which none can be changed.
It takes Debian on amd64; with KVM it is faster.
"""
