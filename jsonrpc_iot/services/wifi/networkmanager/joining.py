"""One attempt to join a network: the profile that it adds, and what it leaves behind.

The new profile is volatile until the network has accepted the key: NetworkManager itself forgets it
when the attempt fails, even if this program ends meanwhile. Until then those that are known stay.
"""

import logging
from collections.abc import Callable, Sequence

import anyio
from dbus_fast import Variant

from jsonrpc_iot import DeadlineExceeded, Forbidden, RpcError

from ..interface import NetworkNotFound, WrongKey
from .course import Course
from .manager import Manager, Refused
from .names import ACCESS_POINT, IN_MEMORY, MANAGER, MANAGER_PATH, PROFILE, TO_DISK
from .points import WITH_SAE, Point
from .profiles import Profile, Settings, is_used_elsewhere

logger = logging.getLogger("jsonrpc_iot.wifi")

# With WPA3 not every NetworkManager finds out that a key is wrong: some just wait for 25 s.
_KEY_SECONDS = 9.0
_CLEANUP_SECONDS = 5.0


class Attempt:
    """An attempt.

    Args:
        manager: makes it.
        device: the adapter's path.
        point: an access point of the network.
        has_key: whether a key is tried.

    Attributes:
        active: the path of its active connection, `""` while there is none.
    """

    def __init__(self, manager: Manager, device: str, point: Point, *, has_key: bool) -> None:
        self.active = ""
        self._manager = manager
        self._device = device
        self._point = point
        self._course = Course(manager.mirror, device, point.ssid, has_key=has_key)
        self._waits_for_key = has_key and point.security in WITH_SAE
        self._profile = ""

    @property
    def is_accepted(self) -> bool:
        """The network has let the adapter in."""
        return self._course.is_accepted

    async def run(
        self, settings: Settings, replaced: Sequence[Profile], deadline: float = float("inf")
    ) -> None:
        """Try, and undo all that has been done where the network does not let us in.

        Args:
            settings: of the new profile.
            replaced: profiles that are removed when the network has accepted the new one.
            deadline: when to give up, on the event loop's clock.

        Raises:
            RpcError: it has failed, for a reason of the interface's; `DeadlineExceeded` after the
                deadline. A network that has given no address until then is not left.
        """
        with self._manager.heard_by(self._course.hear):
            try:
                await self._activate(settings, deadline)
                await self._until_accepted(deadline)
                await self._keep(replaced)
            except BaseException:
                with anyio.move_on_after(_CLEANUP_SECONDS, shield=True):
                    await self._delete(self._profile)
                raise
            try:
                late = DeadlineExceeded(f"{self._point.ssid!r} has given no address yet")
                await self._until(lambda: self._course.is_joined, deadline, late)
            except anyio.get_cancelled_exc_class():
                with anyio.move_on_after(_CLEANUP_SECONDS, shield=True):
                    arguments = (MANAGER_PATH, MANAGER, "DeactivateConnection", "o", self.active)
                    await self._quietly(*arguments)
                raise

    async def _activate(self, settings: Settings, deadline: float) -> None:
        # Shielded, since who does not hear what the profile is called cannot remove it.
        with anyio.CancelScope(deadline=deadline, shield=True) as asking:
            try:
                self._profile, self.active, _ = await self._manager.call(
                    MANAGER_PATH,
                    MANAGER,
                    "AddAndActivateConnection2",
                    "a{sa{sv}}ooa{sv}",
                    settings,
                    self._device,
                    self._point.path,
                    {"persist": Variant("s", "volatile")},
                    gives="ooa{sv}",
                )
            except Refused as error:
                if self._manager.mirror.has(self._point.path, ACCESS_POINT):
                    raise
                raise NetworkNotFound(f"{self._point.ssid!r} has just vanished") from error
        if asking.cancelled_caught:
            raise self._late()
        self._course.begin(self.active)

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"NetworkManager is not done with {self._point.ssid!r}")

    async def _until_accepted(self, deadline: float) -> None:
        late: RpcError = self._late()
        key_deadline = anyio.current_time() + _KEY_SECONDS
        if self._waits_for_key and key_deadline < deadline:
            deadline = key_deadline
            late = WrongKey(f"{self._point.ssid!r} has not accepted the key in time")
        await self._until(lambda: self._course.is_accepted, deadline, late)

    async def _until(self, condition: Callable[[], bool], deadline: float, late: RpcError) -> None:
        """Wait for something, or until the attempt has failed, or it is too late."""
        course = self._course
        with anyio.CancelScope(deadline=deadline) as waiting:
            await self._manager.until(lambda: condition() or course.failure)
        if course.failure is not None:
            raise course.failure
        if waiting.cancelled_caught:
            raise late

    async def _keep(self, replaced: Sequence[Profile]) -> None:
        """Have NetworkManager remember the profile, in place of others."""
        for flags, where in ((TO_DISK, "on the disk"), (IN_MEMORY, "in memory")):
            try:
                await self._manager.call(
                    self._profile, PROFILE, "Update2", "a{sa{sv}}ua{sv}", {}, flags, {}
                )
                break
            except (Refused, Forbidden) as error:
                logger.warning("wifi: the new profile is not kept %s: %s", where, error.message)
        for profile in replaced:
            if not is_used_elsewhere(self._manager.mirror, profile, self._device):
                await self._delete(profile.path)

    async def _delete(self, profile: str) -> None:
        if profile:
            await self._quietly(profile, PROFILE, "Delete")

    async def _quietly(self, path: str, interface: str, member: str, *rest: str) -> None:
        try:
            await self._manager.call(path, interface, member, *rest)
        except RpcError as error:  # mostly because it is gone already
            logger.info("wifi: %s: %s", member, error.message)
