"""What the parts of the PostgreSQL store share."""

from typing import Any

from jsonrpc_iot import RpcError

from .keeper import Keeper
from .pools import Pools
from .values import Arrivals


class Tables:
    """Some tables of the database.

    Attributes:
        keeper: keeps those of values in shape.
    """

    keeper: Keeper
    _pools: Pools
    _arrivals: Arrivals

    async def _change(self, text: str, values: tuple[Any, ...], missing: RpcError) -> None:
        """Change one row, which the statement returns; raises `missing` where there is none."""
        if not await self._pools.change(text, *values):
            raise missing
