"""Bluetooth LE of a Linux machine, through BlueZ."""
