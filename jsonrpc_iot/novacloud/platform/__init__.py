"""The platform's side of NovaCloud."""
