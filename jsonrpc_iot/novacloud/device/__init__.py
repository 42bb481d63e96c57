"""The device's side of NovaCloud."""
