# mypy: ignore-errors
# ruff: noqa: N802, RUF012  # what is called on D-Bus; a process of its own
"""A NetworkManager whose attempts take time and fail: a template for python3-dbusmock.

    /usr/bin/python3 -m dbusmock --system --template tests/services/networkmanager/template.py

Debian's template, which it extends, has the objects; this one has what a radio does. It runs in
Debian's Python. Control it through the methods of `org.freedesktop.DBus.Mock` below.
"""

import functools

import dbus
from dbusmock import MOCK_IFACE, get_object
from dbusmock.templates import networkmanager as nm
from dbusmock.templates.networkmanager import *  # noqa: F403  # its methods become ours
from gi.repository import GLib

BUS_NAME, MAIN_OBJ = nm.BUS_NAME, nm.MAIN_OBJ
IS_OBJECT_MANAGER = SYSTEM_BUS = True

STEP_MS = 4
"""Between two states of a device."""

DEVICE, WIRELESS, POINT = nm.DEVICE_IFACE, nm.WIRELESS_DEVICE_IFACE, nm.ACCESS_POINT_IFACE
ACTIVE, PROFILE = nm.ACTIVE_CONNECTION_IFACE, nm.CSETTINGS_IFACE
NOTHING = dbus.ObjectPath("/")
SECURITY = "802-11-wireless-security"


class Air:
    """What there is to join."""

    keys: dict = {}  # by the name of a network
    moods: dict = {}  # what a network does to who joins it
    hidden: dict = {}  # what is behind access points that do not tell their names, by their paths
    shown: set = set()  # the paths of those that tell them since they have been asked
    refusals: dict = {}  # errors by the names of methods
    vanishing: list = []
    attempts = 0
    saved = 0
    connects_again = False


def load(mock, parameters):
    Air.keys, Air.moods, Air.hidden, Air.shown, Air.refusals = {}, {}, {}, set(), {}
    Air.connects_again, Air.saved = False, 0
    nm.load(mock, parameters)
    manager = get_object(nm.MANAGER_OBJ)
    manager.Set(nm.MANAGER_IFACE, "Version", "1.42.4")
    for name, takes, gives, function in (
        ("AddAndActivateConnection2", "a{sa{sv}}ooa{sv}", "ooa{sv}", add_and_activate),
        ("DeactivateConnection", "o", "", deactivate),
    ):
        manager.AddMethod(nm.MANAGER_IFACE, name, takes, gives, refusable(name, function))


def refusable(name, function):
    """A method that fails where the test says so."""

    def method(self, *arguments):
        if name in Air.refusals:
            raise dbus.exceptions.DBusException("not today", name=Air.refusals[name])
        return function(self, *arguments)

    return method


@dbus.service.method(MOCK_IFACE, in_signature="su", out_signature="o")
def AddRadio(self, interface, state):
    """An adapter."""
    path = self.AddWiFiDevice(interface, interface, state)
    device = get_object(path)
    device.AddProperties(WIRELESS, {"LastScan": dbus.Int64(1), "ActiveAccessPoint": NOTHING})
    device.AddMethod(WIRELESS, "RequestScan", "a{sv}", "", refusable("RequestScan", scan))
    device.AddMethod(DEVICE, "Disconnect", "", "", refusable("Disconnect", disconnect))
    self.object_manager_emit_added(path)
    return dbus.ObjectPath(path)


@dbus.service.method(MOCK_IFACE, in_signature="osaysuyuuubs", out_signature="o")
def AddPoint(self, device, name, ssid, bssid, frequency, strength, flags, wpa, rsn, hidden, key):
    """An access point of a network with that key."""
    path = self.AddAccessPoint(device, name, "", bssid, 2, frequency, 54000, strength, 0)
    values = {"Flags": flags, "WpaFlags": wpa, "RsnFlags": rsn, "Strength": dbus.Byte(strength)}
    Air.keys[bytes(ssid)] = key
    if hidden:
        Air.hidden[path] = device, name, ssid, bssid, frequency, strength, flags, wpa, rsn
    else:
        values["Ssid"] = dbus.Array(ssid, signature="y")
    get_object(path).UpdateProperties(POINT, values)
    return dbus.ObjectPath(path)


@dbus.service.method(MOCK_IFACE, in_signature="ou", out_signature="")
def AddCrowd(self, device, count):
    """Many access points of one network."""
    for number in range(count):
        bssid = f"02:00:00:01:{number >> 8:02X}:{number & 255:02X}"
        self.AddAccessPoint(device, f"crowd{number}", "crowd", bssid, 2, 2412, 1, number % 100, 0)


@dbus.service.method(MOCK_IFACE, in_signature="ou", out_signature="")
def VanishOnScan(_self, device, count):
    """Have access points vanish while the next scan runs."""
    Air.vanishing = list(get_object(device).access_points)[:count]


@dbus.service.method(MOCK_IFACE, in_signature="o", out_signature="")
def PullOut(self, device):
    """Remove an adapter."""
    self.object_manager_emit_removed(device)
    self.RemoveObject(device)


@dbus.service.method(MOCK_IFACE, in_signature="ays", out_signature="")
def SetMood(_self, ssid, mood):
    """Have a network be "silent", "gone", "without address", "stubborn" or "" again."""
    Air.moods[bytes(ssid)] = mood


@dbus.service.method(MOCK_IFACE, in_signature="ss", out_signature="")
def Refuse(_self, method, error):
    """Have a method fail with that error, or, where it is "", no more."""
    Air.refusals[method] = error
    if not error:
        del Air.refusals[method]


@dbus.service.method(MOCK_IFACE, in_signature="b", out_signature="")
def ConnectAgain(_self, whether):
    """Have the device join a network that is known after an attempt has failed."""
    Air.connects_again = whether


@dbus.service.method(MOCK_IFACE, in_signature="ouu", out_signature="")
def EnterState(_self, device, state, reason):
    """Have a device enter a state."""
    enter(device, state, reason)


@dbus.service.method(MOCK_IFACE, in_signature="oo", out_signature="")
def Join(_self, device, profile):
    """Have a device join the network of a profile, as another program may."""
    point = next(iter(get_object(device).access_points), "/")
    ssid = bytes(get_object(profile).settings["802-11-wireless"]["ssid"])
    for path in get_object(device).access_points:
        if bytes(get_object(path).Get(POINT, "Ssid")) == ssid:
            point = path
    activate(get_object(nm.MANAGER_OBJ), profile, device, point)


@dbus.service.method(MOCK_IFACE, in_signature="", out_signature="aa{sa{sv}}")
def Profiles(_self):
    """The settings of all profiles, with their keys."""
    paths = get_object(nm.SETTINGS_OBJ).ListConnections()
    return dbus.Array([get_object(path).settings for path in paths], signature="a{sa{sv}}")


@dbus.service.method(MOCK_IFACE, in_signature="", out_signature="u")
def Saved(_self):
    """How often a profile has been saved."""
    return Air.saved


@dbus.service.method(MOCK_IFACE, in_signature="a{sa{sv}}", out_signature="o")
def AddProfile(self, settings):
    """A profile that is known."""
    return dbus.ObjectPath(new_profile(self, settings))


def scan(self, options):
    """Look around: who is asked for by name says it."""
    asked = {bytes(name) for name in options.get("ssids", [])}

    def done():
        manager = get_object(nm.MANAGER_OBJ)
        for path, (device, name, ssid, *rest) in list(Air.hidden.items()):
            if bytes(ssid) in asked:  # it answers, as one more, while it goes on without a name
                del Air.hidden[path]
                key = Air.keys[bytes(ssid)]
                shown = manager.AddPoint(device, f"{name}shown", ssid, *rest, False, key)
                Air.shown.add(shown)
        for path in Air.vanishing:
            get_object(nm.MANAGER_OBJ).RemoveAccessPoint(self.path, path)
        Air.vanishing = []
        last = self.Get(WIRELESS, "LastScan")
        self.UpdateProperties(WIRELESS, {"LastScan": dbus.Int64(last + 1)})

    after(STEP_MS, done)


def disconnect(self):
    if self.Get(DEVICE, "State") <= 30:
        raise dbus.exceptions.DBusException("not active", name=f"{DEVICE}.NotActive")
    leave(self.path, 39)


def deactivate(self, active):
    if active in nm.dbusmock.mockobject.objects:
        leave(get_object(active).device, 39)


def new_profile(self, settings):
    path = self.SettingsAddConnection(settings)
    profile = get_object(path)
    profile.ConnectionGetSettings = without_secrets
    profile.ConnectionGetSecrets = secrets
    profile.ConnectionDelete = delete
    profile.is_volatile = False
    profile.AddMethod(PROFILE, "Update2", "a{sa{sv}}ua{sv}", "a{sv}", update)
    return path


def update(self, _settings, flags, _options):
    refusable(f"Update2 {flags}", lambda _self: None)(self)
    self.is_volatile = False
    Air.saved += 1
    return dbus.Dictionary({}, signature="sv")


def without_secrets(self):
    return dbus.Dictionary(
        {
            section: dbus.Dictionary(
                {k: v for k, v in values.items() if k != "psk"}, signature="sv"
            )
            for section, values in self.settings.items()
        },
        signature="sa{sv}",
    )


def secrets(self, section):
    if "GetSecrets" in Air.refusals:
        raise dbus.exceptions.DBusException("no", name=Air.refusals["GetSecrets"])
    values = {"psk": self.settings.get(section, {}).get("psk", "")}
    return dbus.Dictionary({section: dbus.Dictionary(values, signature="sv")}, signature="sa{sv}")


def delete(self):
    """Forget a profile, and leave its network."""
    for path in list(nm.dbusmock.mockobject.objects):
        active = get_object(path)
        if getattr(active, "profile", None) == self.connection_path:
            leave(active.device, 38)
    if self.connection_path not in nm.dbusmock.mockobject.objects:
        return  # it was volatile
    settings = get_object(nm.SETTINGS_OBJ)
    known = [each for each in settings.ListConnections() if each != self.connection_path]
    settings.Set(nm.SETTINGS_IFACE, "Connections", dbus.Array(known, signature="o"))
    self.object_manager_emit_removed(self.connection_path)
    self.RemoveObject(self.connection_path)


def add_and_activate(self, settings, device, point, options):
    check(settings, point)
    profile = new_profile(self, settings)
    get_object(profile).is_volatile = options.get("persist") == "volatile"
    active = activate(self, profile, device, point)
    return dbus.ObjectPath(profile), dbus.ObjectPath(active), dbus.Dictionary({}, signature="sv")


def check(settings, point):
    """Refuse what NetworkManager would not do for an access point of that kind."""
    if point not in nm.dbusmock.mockobject.objects:
        raise dbus.exceptions.DBusException("no point", name=f"{nm.MANAGER_IFACE}.UnknownDevice")
    rsn = get_object(point).Get(POINT, "RsnFlags")
    managed = settings.get(SECURITY, {}).get("key-mgmt", "")
    wanted = "sae" if rsn == 0x400 else "wpa-psk" if rsn & 0x100 else ""
    hidden = bool(settings["802-11-wireless"].get("hidden"))
    if managed != wanted or hidden != (point in Air.shown):
        name = f"{nm.MANAGER_IFACE}.Settings.Connection.InvalidProperty"
        raise dbus.exceptions.DBusException(f"{managed=} {wanted=} {hidden=}", name=name)


def activate(self, profile, device, point):
    """Begin an attempt; the device leaves its present network first."""
    Air.attempts += 1
    path = f"/org/freedesktop/NetworkManager/ActiveConnection/{Air.attempts}"
    values = {
        "Devices": dbus.Array([device], signature="o"),
        "Connection": dbus.ObjectPath(profile),
        "SpecificObject": dbus.ObjectPath(point),
        "State": dbus.UInt32(1),
    }
    self.AddObject(path, ACTIVE, values, [])
    self.object_manager_emit_added(path)
    active = get_object(path)
    active.device, active.profile, active.point = device, profile, point
    if any(other is not active for other in joined(device)):
        leave(device, 60)
    settings = get_object(profile).settings
    begin = [40, 50, 60, 40, 50] if SECURITY in settings else [40, 50]  # 60: it looks for the key
    after(STEP_MS, functools.partial(advance, active, begin))
    return path


def advance(active, states):
    """Go on to the next state, unless the connection is no more."""
    if nm.dbusmock.mockobject.objects.get(active.path) is not active:
        return
    device = active.device
    if states[0] == 40:
        get_object(device).Set(DEVICE, "ActiveConnection", dbus.ObjectPath(active.path))
    if states[0] == 70:
        get_object(device).Set(WIRELESS, "ActiveAccessPoint", dbus.ObjectPath(active.point))
    enter(device, states[0], 8 if states == [60] else 0)
    rest = states[1:] or verdict(active, states[0])
    if states[0] == 100:
        active.UpdateProperties(ACTIVE, {"State": dbus.UInt32(2)})
        active.EmitSignal(ACTIVE, "StateChanged", "uu", [dbus.UInt32(2), dbus.UInt32(1)])
    elif isinstance(rest, int):
        after(STEP_MS, functools.partial(fail, active, rest))
    elif rest:
        after(STEP_MS, functools.partial(advance, active, rest))


def verdict(active, state):
    """What follows the states 50, 60 and 70: more states, none for the time being, or a reason."""
    settings = get_object(active.profile).settings
    ssid = bytes(settings["802-11-wireless"]["ssid"])
    mood = Air.moods.get(ssid, "")
    if state == 70:
        return [] if mood == "without address" else 5 if mood == "without DHCP" else [100]
    if state == 60:
        return [] if mood == "stubborn" else 7
    if mood == "silent" or state == 100:
        return []
    if mood == "gone":
        return 53
    if mood.isdigit():
        return int(mood)
    return [70] if settings.get(SECURITY, {}).get("psk", "") == Air.keys.get(ssid, "") else [60]


def fail(active, reason):
    if nm.dbusmock.mockobject.objects.get(active.path) is active:
        enter(active.device, 120, reason)
        leave(active.device, reason, failed=True)


def connect_again(device):
    for profile in get_object(nm.SETTINGS_OBJ).ListConnections():
        ssid = bytes(get_object(profile).settings["802-11-wireless"]["ssid"])
        for point in get_object(device).access_points:
            if bytes(get_object(point).Get(POINT, "Ssid")) == ssid:
                activate(get_object(nm.MANAGER_OBJ), profile, device, point)
                return


def joined(device):
    """The connections that a device has, or is about to have."""
    objects = list(nm.dbusmock.mockobject.objects.values())
    return [each for each in objects if getattr(each, "device", None) == device]


def leave(device, reason, *, failed=False):
    """End the device's connection."""
    if not failed:
        enter(device, 110, reason)
    for active in joined(device):
        if not (reason == 60 and active.path.endswith(f"/{Air.attempts}")):
            ended = 9 if failed and reason == 7 else 3 if failed else 2
            active.EmitSignal(ACTIVE, "StateChanged", "uu", [dbus.UInt32(4), dbus.UInt32(ended)])
            active.object_manager_emit_removed(active.path)
            active.RemoveObject(active.path)
            profile = nm.dbusmock.mockobject.objects.get(active.profile)
            if profile is not None and profile.is_volatile:
                delete(profile)
    radio = get_object(device)
    radio.Set(DEVICE, "ActiveConnection", NOTHING)
    radio.Set(WIRELESS, "ActiveAccessPoint", NOTHING)
    enter(device, 30, reason)
    if Air.connects_again and reason not in {39, 60}:
        after(STEP_MS, functools.partial(connect_again, device))


def enter(device, state, reason):
    radio = get_object(device)
    old = radio.Get(DEVICE, "State")
    values = [dbus.UInt32(state), dbus.UInt32(old), dbus.UInt32(reason)]
    radio.EmitSignal(DEVICE, "StateChanged", "uuu", values)
    radio.Set(DEVICE, "State", dbus.UInt32(state))


def after(milliseconds, function):
    def once():
        function()
        return False

    GLib.timeout_add(milliseconds, once)
