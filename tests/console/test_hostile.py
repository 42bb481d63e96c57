"""Devices that say what none should: the page stays quick, and takes nothing but text from them."""

import json
from typing import Any

import pytest

from tests.console.conftest import Opened
from tests.console.hostile import Hostile, serving
from tests.console.test_link import LOST

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

HTML = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"
SECONDS = 5.0
"""A bound that only a page that hangs would miss."""


def method(name: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "params": []} | members


def param(name: str, schema: Any, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "schema": schema, "required": required}


def described(*methods: Any, **members: Any) -> Hostile:
    document = {"openrpc": "1.3.2", "info": {"title": "T"}, "methods": methods} | members
    return Hostile({"rpc.discover": json.dumps(document), "rpc.ping": "true", "m": "1"})


async def test_html_is_text(opened: Opened) -> None:
    schema = {"enum": [HTML], "description": HTML, "title": HTML, "default": HTML, "pattern": HTML}
    hostile = described(
        method(
            HTML,
            summary=HTML,
            description=HTML,
            tags=[{"name": HTML}],
            errors=[{"code": HTML, "message": HTML}],
            examples=[{"name": HTML, "params": [{"name": HTML, "value": HTML}]}],
            params=[
                param(HTML, schema),
                param(f"{HTML}2", {"type": "string", "description": HTML}),
            ],
        ),
        info={"title": HTML, "version": HTML, "description": HTML},
    )
    hostile.results = {**hostile.results, HTML: json.dumps({HTML: HTML})}
    async with serving(hostile) as url, opened(url, expected=LOST) as page:
        dialogs: list[Any] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog))  # noqa: PLW0108
        await page.locator(".list a").click()
        await page.get_by_role("button", name="Example").click()
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="onerror").wait_for()
        assert await page.locator("img, script:not([src]), b").count() == 0
        assert not dialogs


async def test_five_thousand_methods(opened: Opened) -> None:
    hostile = described(*(method(f"group{n % 50}.method{n}", summary="Does.") for n in range(5000)))
    async with serving(hostile) as url, opened(url, expected=LOST) as page:
        await page.locator(".list a").first.wait_for()
        assert await page.locator(".list a").count() == 200
        await page.get_by_role("button", name="200 of 5000").click()
        await page.locator(".list li:nth-child(201)").wait_for()
        start = await page.evaluate("performance.now()")
        await page.keyboard.press("/")
        await page.keyboard.type("method4999")
        await page.locator(".list a", has_text="method4999").wait_for()
        assert await page.locator(".list a").count() == 1
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="group49.method4999").wait_for()
        assert await page.evaluate("performance.now()") - start < SECONDS * 1000


async def test_a_recursive_description_of_a_megabyte(opened: Opened) -> None:
    node = {
        "type": "object",
        "description": "x" * 1_000_000,
        "properties": {"next": {"$ref": "#/components/schemas/Node"}, "value": {"type": "integer"}},
        "required": ["next"],
    }
    loop = {"$ref": "#/components/schemas/Loop"}
    schemas = {"Node": node, "Loop": loop, "All": {"allOf": [{"$ref": "#/components/schemas/All"}]}}
    params = [
        param("node", {"$ref": "#/components/schemas/Node"}, required=True),
        param("loop", loop),
        param("all", {"$ref": "#/components/schemas/All"}),
        param("nowhere", {"$ref": "#/components/schemas/__proto__/constructor"}),
        param("away", {"$ref": "https://elsewhere.example/schema"}),
    ]
    hostile = described(method("m", params=params), components={"schemas": schemas})
    async with serving(hostile) as url, opened(f"{url}#/methods/m", expected=LOST) as page:
        await page.get_by_role("group", name="node").first.wait_for()
        assert len(await page.content()) < 200_000
        await page.get_by_label("next").last.fill('{"end": true}')
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="1").wait_for()
        assert '{"next":{"next":' in json.dumps(hostile.requests[-1], separators=(",", ":"))


NAMES = (
    "__proto__",
    "constructor",
    "l",
    "submit",
    "toString",
    "hasOwnProperty",
    "action",
    "children",
)


async def test_names_that_mean_something_to_javascript(opened: Opened) -> None:
    schema = {
        "type": "object",
        "properties": {"__proto__": {"type": "string"}, "valueOf": {"type": "string"}},
        "required": ["__proto__", "valueOf"],
    }
    params = [param(name, {"type": "string"}, required=True) for name in NAMES]
    hostile = described(
        method("m", params=[*params, param("o", schema, required=True)]), method("__proto__")
    )
    hostile.results = {**hostile.results, "m": '{"__proto__": {"polluted": true}, "a": 1}'}
    async with serving(hostile) as url, opened(f"{url}#/methods/m", expected=LOST) as page:
        fields = page.locator("form input[type=text]")
        await fields.last.wait_for()
        for index in range(await fields.count()):
            await fields.nth(index).fill(f"v{index}")
        await page.keyboard.press("Enter")
        await page.locator(".outcome .json", has_text="polluted").wait_for()
        sent = hostile.requests[-1]["params"]
        assert list(sent) == [*NAMES, "o"]
        assert sent["o"] == {"__proto__": "v8", "valueOf": "v9"}
        assert await page.evaluate("({}).polluted === undefined && ({}).m === undefined")
        await page.get_by_role("link", name="__proto__").click()
        await page.get_by_role("heading", name="__proto__").wait_for()


ODD_PARAMS = [
    None,
    7,
    {},
    {"name": "a", "schema": 7},
    param("b", {"type": {"x": 1}, "enum": 7, "anyOf": 3}),
    param("c", {"type": "integer", "minimum": {"valueOf": 1}, "maximum": "9", "description": 7}),
    param("d", {"type": "array", "items": 7}),
    param("e", {"anyOf": [None, 7]}),
    param("f", {"type": ["null"]}),
    param("g", {"type": "object", "properties": {"p": 7}}),
]
ODD = method("m", summary=[], params=ODD_PARAMS, tags=7, errors=[None], examples=[{"params": 7}])
WRONG: list[Any] = [
    None,
    7,
    "text",
    [],
    {"methods": {}},
    {"methods": [None, 7, [], {}, {"name": 7}, {"name": ""}, {"name": "m", "params": {"a": 1}}]},
    {
        "info": 7,
        "components": 7,
        "methods": [ODD | {"x-effect": "constructor", "x-stream": 7}],
        "x-notifications": [None, {"name": 7}],
    },
]


@pytest.mark.parametrize("document", WRONG)
async def test_wrong_shapes(opened: Opened, document: Any) -> None:
    hostile = Hostile({"rpc.discover": json.dumps(document), "rpc.ping": "7", "m": "1"})
    async with serving(hostile) as url, opened(f"{url}#/methods/m", expected=LOST) as page:
        unknown, form = page.get_by_text("no method m"), page.locator("form.card")
        await unknown.or_(form).first.wait_for()
        if await form.count():
            await page.get_by_role("button", name="As JSON").click()
            await page.get_by_role("button", name="Call", exact=True).click()
            await page.locator(".outcome .json", has_text="1").wait_for()


async def test_without_a_description_methods_take_json(opened: Opened) -> None:
    hostile = Hostile({"rpc.methods": '["m", "n", 7]', "m": '"done"'})
    async with serving(hostile) as url, opened(url, expected=LOST) as page:
        await page.get_by_role("link", name="m", exact=True).click()
        await page.get_by_label("Params as JSON").fill("[1, 2]")
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="done").wait_for()
        assert hostile.requests[-1]["params"] == [1, 2]


async def test_a_result_of_a_megabyte_is_cut(opened: Opened) -> None:
    hostile = described(method("m"))
    hostile.results = {**hostile.results, "m": json.dumps(["x" * 99] * 10_000)}
    async with serving(hostile) as url, opened(f"{url}#/methods/m", expected=LOST) as page:
        await page.get_by_role("button", name="Call", exact=True).click()
        result = page.locator(".outcome .json")
        await page.get_by_text("20 k characters of 1.1 M are shown.").wait_for()
        assert len(await result.text_content()) == 20_000
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Save").click()
        saved = await (await download.value).path()
        assert len(json.loads(saved.read_text())) == 10_000
        await page.get_by_role("button", name="Show all").click()
        await page.wait_for_function("document.querySelector('.json').textContent.length > 1e6")


async def test_answers_that_are_none(opened: Opened) -> None:
    hostile = described(method("m"))
    hostile.results = {**hostile.results, "m": '1, "error": "broken"'}
    async with serving(hostile) as url, opened(f"{url}#/methods/m", expected=LOST) as page:
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.get_by_role("heading", name="none that JSON-RPC knows").wait_for()
        hostile.results = {**hostile.results, "m": "{"}
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.get_by_role("heading", name="none that JSON-RPC knows").wait_for()


HALF = json.dumps("\ud800x")  # half of a character
LAST = "\uffee"  # comes after that
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("view", ["methods", "gateway"])
async def test_half_a_character_in_a_name(opened: Opened, view: str) -> None:
    methods = f'[{{"name":{HALF}}},{{"name":"gateway.devices"}},{{"name":"m"}}]'
    hostile = Hostile(
        {
            "rpc.discover": f'{{"methods":{methods}}}',
            "rpc.ping": "true",
            "gateway.devices": f'[{{"name":{HALF}}},{{"name":"{LAST}"}}]',
            "m": '"done"',
        }
    )
    async with serving(hostile) as url, opened(f"{url}#/{view}", expected=LOST) as page:
        name = "m" if view == "methods" else LAST
        await page.get_by_role("link", name=name, exact=True).click()


async def test_what_is_too_deep_is_cut(opened: Opened) -> None:
    hostile = described(method("m"))
    hostile.results = {**hostile.results, "m": DEEP}
    async with serving(hostile) as url, opened(f"{url}#/methods/m", expected=LOST) as page:
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="[[[[").wait_for()


@pytest.mark.parametrize("devices", ["null", "7", "[null]"])
async def test_devices_that_are_none_are_a_failure(opened: Opened, devices: str) -> None:
    hostile = described(method("gateway.devices"))
    hostile.results = {**hostile.results, "gateway.devices": devices}
    async with serving(hostile) as url, opened(f"{url}#/gateway", expected=LOST) as page:
        await page.locator(".page .trouble").wait_for()


async def test_devices_of_wrong_types_are_shown(opened: Opened) -> None:
    hostile = described(method("gateway.devices"))
    wrong = '[{"name":7,"url":{},"since":[]}]'
    hostile.results = {**hostile.results, "gateway.devices": wrong}
    async with serving(hostile) as url, opened(f"{url}#/gateway", expected=LOST) as page:
        await page.get_by_role("link", name="7", exact=True).wait_for()


async def test_who_has_no_methods_is_not_told_that_none_has_a_name(opened: Opened) -> None:
    async with serving(described()) as url, opened(url, expected=LOST) as page:
        await page.get_by_text("0 methods").first.wait_for()
        nothing = page.get_by_text("No method has this in its name.")
        assert await nothing.count() == 0
        await page.get_by_role("searchbox", name="Filter methods").fill("x")
        await nothing.wait_for()
