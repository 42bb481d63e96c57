"""The console: a page at a device's own address, by which people use it from a browser.

`page/` is what a browser gets, `assets` holds that ready, and `page` says which request gets what.
"""
