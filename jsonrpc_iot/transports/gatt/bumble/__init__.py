"""Bluetooth LE through bumble, on adapters that the system leaves alone."""
