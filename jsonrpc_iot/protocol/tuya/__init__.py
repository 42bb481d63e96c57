"""Tuya's serial protocol: frames, DataPoints, and what each end owes the other."""
