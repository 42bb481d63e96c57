"""Tests of buses leave nothing behind."""

from tests.leaks import no_error_is_logged, no_socket_is_left

__all__ = ["no_error_is_logged", "no_socket_is_left"]
