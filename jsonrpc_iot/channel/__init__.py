"""What a transport is to the rest: channels, listeners, URLs."""
