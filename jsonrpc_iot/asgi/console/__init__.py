"""The console: a page at a device's own address, by which people use it from a browser.

`page/` is written by people; `tools/vendor-console` makes of it what a browser gets, `packed/`.
`assets` holds that ready, and `page` says which request gets what.
"""
