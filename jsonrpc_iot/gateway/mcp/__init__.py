"""Devices as tools of an assistant that speaks MCP, the Model Context Protocol.

The library that speaks it is loaded when a server is made.
"""

from .assistant import Assistant, Where, mcp_server

__all__ = ["Assistant", "Where", "mcp_server"]
