"""The open standard Improv Wi-Fi without I/O: how a new device is told of a network.

`messages` has what both links carry; `serial` frames that for serial lines, `ble` for Bluetooth LE.
"""
