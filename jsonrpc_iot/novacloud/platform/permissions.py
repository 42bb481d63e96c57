"""What who manages a platform may do. Source: the page for operators, section 1."""

from jsonrpc_iot import Permission

ADMIN = Permission("nova:admin")
"""Change devices, sensors and actuators."""

COMMAND = Permission("nova:command", included_in=(ADMIN,))
"""Have devices do something."""

READ = Permission("nova:read", included_in=(COMMAND, ADMIN))
"""See all there is to see, and hear of what happens."""
