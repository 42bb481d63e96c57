"""After each test nothing may be left: no socket, no error in the log."""

from tests.leaks import nothing_is_left

__all__ = ["nothing_is_left"]
