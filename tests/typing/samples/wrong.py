"""What a type checker refuses; such lines end with the error's code and part of its text."""

from anyio.streams.memory import MemoryObjectReceiveStream

from jsonrpc_iot import BlockingClient, Client, Dispatcher

from .interface import AccessPoint, BlockingWifi, Status, Wifi


async def arguments(client: Client) -> None:
    wifi = client.proxy(Wifi)
    await wifi.connect(1)  # E: arg-type: expected "str"
    await wifi.connect()  # E: call-arg: Missing positional argument "ssid"
    await wifi.connect("home", "secret", True)  # E: call-arg: Too many positional arguments
    await wifi.connect("home", pks="secret")  # E: call-arg: Unexpected keyword argument "pks"
    await wifi.scan(5)  # E: call-arg: Too many arguments
    await wifi.blink("twice")  # E: arg-type: expected "int"
    wifi.watch(seconds="1")  # E: arg-type: expected "float"


async def results(client: Client) -> None:
    wifi = client.proxy(Wifi)
    status: Status = await wifi.scan()  # E: assignment: list[AccessPoint]
    names: list[str] = await wifi.scan()  # E: assignment: list[AccessPoint]
    (await wifi.scan())[0].level  # E: attr-defined: has no attribute "level"
    async for found in wifi.watch(1):
        number: int = found  # E: assignment: expression has type "AccessPoint"
        print(number)
    print(status, names)


async def waiting(client: Client) -> None:
    wifi = client.proxy(Wifi)
    wifi.scan()  # E: unused-coroutine: must be used
    for found in wifi.scan():  # E: attr-defined: has no attribute "__iter__"
        print(found)
    await wifi.listen(1)  # E: misc: Incompatible types in "await"
    wifi.listen("6")  # E: arg-type: expected "int"
    async with wifi.listen() as heard:
        async for item in heard:
            word: str = item  # E: assignment: expression has type "AccessPoint"
            print(word)
    await wifi.watch(1)  # E: misc: Incompatible types in "await"
    async for found in wifi.scan():  # E: attr-defined: has no attribute "__aiter__"
        print(found)
    await wifi.name()  # E: misc: Incompatible types in "await"


async def names(client: Client) -> None:
    wifi = client.proxy(Wifi)
    await wifi.status()  # E: attr-defined: "Wifi" has no attribute "status"
    wifi.happened.subscribe(print)  # E: attr-defined: "Wifi" has no attribute "happened"
    wifi.level = 3  # E: attr-defined: "Wifi" has no attribute "level"


async def events(client: Client) -> None:
    wifi = client.proxy(Wifi)

    def note(found: AccessPoint) -> None: ...

    def nothing() -> None: ...

    wifi.changed.subscribe(note)  # E: arg-type: expected "Callable[[Status], object]"
    wifi.changed.subscribe(nothing)  # E: arg-type: expected "Callable[[Status], object]"
    wifi.changed.subscribe(lambda status: status.level)  # E: attr-defined: "Status" has no
    wifi.changed.emit(AccessPoint("home", -50))  # E: arg-type: expected "Status"
    async with wifi.changed.values() as values:
        stream: MemoryObjectReceiveStream[AccessPoint] = values  # E: assignment: [Status]
        print(stream)


async def calls(client: Client) -> None:
    found: list[str] = await client.call("scan", result=list[AccessPoint])  # E: arg-type: expected
    number: int = await client.call("wifi.status", result=Status)  # E: arg-type: expected
    client.call("wifi.scan")  # E: unused-coroutine: must be used
    async for each in client.stream("wifi.watch", item=AccessPoint):
        text: str = each  # E: assignment: expression has type "AccessPoint"
        print(text)
    await client.stream("wifi.watch")  # E: misc: Incompatible types in "await"
    print(found, number)


def others(client: Client, dispatcher: Dispatcher) -> None:
    client.proxy(Wifi, "left")  # E: call-arg: Too many positional arguments
    client.proxy("wifi")  # E: arg-type: expected "Callable
    client.proxy(Wifi, timeout="1")  # E: arg-type: expected "float | UnsetType | None"
    dispatcher.include(Wifi())  # E: abstract: Cannot instantiate abstract class


def blocking(client: BlockingClient) -> None:
    wifi = client.proxy(Wifi, BlockingWifi)
    wifi.connect(1)  # E: arg-type: expected "str"
    wifi.connect("home", "secret", True)  # E: call-arg: Too many positional arguments
    status: Status = wifi.scan()  # E: assignment: list[AccessPoint]
    for found in wifi.watch(1):
        number: int = found  # E: assignment: expression has type "AccessPoint"
        print(number)
    wifi.status()  # E: attr-defined: "BlockingWifi" has no attribute "status"
    wifi.changed.subscribe(lambda status: status.level)  # E: attr-defined: "Status" has no
    with wifi.changed.values() as values:
        text: str = values.receive()  # E: assignment: expression has type "Status"
        print(text)
    print(status)
