"""The console's page, pressed in Debian's Chromium; `make test-browser` runs these."""
