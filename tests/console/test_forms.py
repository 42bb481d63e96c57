"""Forms made from the description: what each kind of field sends, and where errors stand."""

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from jsonrpc_iot import Dispatcher, Example, InvalidParams
from tests.console.conftest import ConsolePage

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(Struct):
    x: int
    y: Annotated[float, Meta(gt=0, lt=5)] = 1.5


class Branch(Struct):
    name: str
    branches: list["Branch"] = []


class Circle(Struct, tag="circle"):
    radius: int


class Label(Struct, tag="label"):
    text: str | None


def device() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method(
        examples=[Example("usual", {"level": 40, "ratio": 0.5, "name": "abc"}, None)]
    )
    def plain(
        level: Annotated[int, Meta(ge=0, le=100)],
        ratio: float,
        name: Annotated[str, Meta(min_length=2, max_length=5)],
        colour: Colour = Colour.RED,
        step: Literal[1, 2, 3] = 2,
        quiet: bool = False,
        note: str | None = "none",
        large: int = 0,
    ) -> None: ...

    @dispatcher.method
    def switch(on: bool) -> None: ...

    @dispatcher.method
    def composed(
        place: Place,
        shape: Circle | Label,
        places: list[Place] = [],  # noqa: B006
        extra: dict[str, int] = {},  # noqa: B006
        away: Place | None = None,
        tree: Branch | None = None,
        word: int | str = 0,
    ) -> None: ...

    @dispatcher.method
    def picky(places: list[Place]) -> None:
        raise InvalidParams("Invalid params", {"path": "$.places[1].x", "message": "occupied"})

    @dispatcher.method(effect="danger")
    def reset(everything: bool) -> bool:
        return everything

    return dispatcher


async def call(page: Any, sent: list[Any]) -> Any:
    """Press the button; gives the params that are sent, once they are answered."""
    await page.get_by_role("button", name="Call", exact=True).click()
    await page.locator(".outcome h3").wait_for()
    return sent[-1].get("params")


async def test_plain_values(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/plain", sent=sent) as (page, _, _):
        await page.get_by_label("level").fill("40")
        await page.get_by_label("ratio").fill("2.5e-1")
        await page.get_by_label("name").fill("äöü")
        assert await call(page, sent) == {"level": 40, "ratio": 0.25, "name": "äöü"}

        await page.get_by_label("colour").select_option("blue")
        await page.get_by_label("step").select_option("3")
        await page.get_by_label("quiet").select_option("true")
        await page.get_by_label("large").fill("12345678901234567890")
        await page.get_by_label("null", exact=True).check()
        got = await call(page, sent)
        assert got["large"] == 12345678901234567890
        assert (got["colour"], got["step"], got["quiet"], got["note"]) == (
            "blue",
            3,
            True,
            None,
        )


async def test_what_is_wrong_is_said_at_the_field_and_not_sent(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/plain", sent=sent) as (page, _, _):
        await page.get_by_label("level").fill("101")
        await page.get_by_label("ratio").fill("2,5")
        await page.get_by_label("large").fill("1.5")
        await page.keyboard.press("Enter")
        await page.get_by_text("It must be 100 or less.").wait_for()
        await page.get_by_text("This is no number.").wait_for()
        await page.get_by_text("It must have 2 characters or more, not 0.").wait_for()
        await page.get_by_text("This is no whole number.").wait_for()
        level = page.get_by_label("level")
        assert await level.get_attribute("aria-invalid") == "true"
        assert await level.evaluate("(each) => each === document.activeElement")
        assert not [each for each in sent if each["method"] == "plain"]


async def test_a_slider_sets_the_number(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/plain", sent=sent) as (page, _, _):
        await page.locator("input[type=range]").fill("70")
        assert await page.get_by_label("level").input_value() == "70"


async def test_required_switch(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/switch", sent=sent) as (page, _, _):
        assert await call(page, sent) == {"on": False}
        await page.get_by_label("on", exact=False).check()
        assert await call(page, sent) == {"on": True}


async def test_composed_values(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/composed", sent=sent) as (page, _, _):

        def group(name: str) -> Any:
            return page.locator(f"fieldset:has(> legend:has-text('{name}'))").first

        await group("place").get_by_label("x").fill("1")
        await group("shape").get_by_label("Kind").select_option("label")
        await group("shape").get_by_label("null").check()
        await group("places").get_by_role("button", name="Add").click()
        await group("places[0]").get_by_label("x").fill("2")
        await group("places[0]").get_by_label("y").fill("4")
        await group("places").get_by_role("button", name="Add").click()
        await group("places[1]").get_by_role("button", name="Remove").click()
        await page.get_by_label("extra").fill('{"a": 1}')
        await group("away").get_by_label("Give a value").check()
        await group("away").get_by_label("x").fill("3")
        await group("tree").get_by_label("Give a value").check()
        await group("tree").get_by_label("name").fill("oak")
        await group("branches").get_by_role("button", name="Add").click()
        await group("branches[0]").get_by_label("name").fill("twig")
        await group("word").get_by_label("Kind").select_option("string")
        await group("word").get_by_role("textbox").fill("seven")
        assert await call(page, sent) == {
            "place": {"x": 1},
            "shape": {"type": "label", "text": None},
            "places": [{"x": 2, "y": 4}],
            "extra": {"a": 1},
            "away": {"x": 3},
            "tree": {"name": "oak", "branches": [{"name": "twig"}]},
            "word": "seven",
        }


async def test_the_other_ends_error_stands_at_the_field_of_its_path(
    console_page: ConsolePage,
) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/picky", sent=sent) as (page, _, _):
        for index in (0, 1):
            await page.get_by_role("button", name="Add").click()
            await (
                page.locator(f"fieldset:has(> legend:has-text('[{index}]'))")
                .get_by_label("x")
                .fill("1")
            )
        await call(page, sent)
        second = page.locator("fieldset:has(> legend:has-text('[1]'))")
        await second.get_by_text("occupied").wait_for()
        field = second.get_by_label("x")
        assert await field.get_attribute("aria-invalid") == "true"
        assert await field.evaluate("(each) => each === document.activeElement")
        await page.locator(".failure", has_text="$.places[1].x").wait_for()


async def test_params_are_written_as_json_and_back(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/plain", sent=sent) as (page, _, _):
        await page.get_by_role("button", name="Example: usual").click()
        assert await page.get_by_label("level").input_value() == "40"
        await page.get_by_role("button", name="As JSON").click()
        written = page.get_by_label("Params as JSON")
        assert '"level": 40' in await written.input_value()
        await written.fill('{"level": "high"')
        await page.keyboard.press("Control+Enter")
        await page.get_by_text("This is no JSON").wait_for()
        await written.fill('{"level": "high", "__proto__": {"x": 1}}')
        assert await call(page, sent) == {"level": "high", "__proto__": {"x": 1}}
        await page.locator(".failure", has_text="-32602").wait_for()
        await written.fill('{"level": 7, "ratio": 1, "name": "ab"}')
        await page.get_by_role("button", name="As JSON").click()
        assert await page.get_by_label("level").input_value() == "7"


async def test_what_is_dangerous_asks_first(console_page: ConsolePage) -> None:
    sent: list[Any] = []
    async with console_page(device(), "#/methods/reset", sent=sent) as (page, _, _):
        press = page.get_by_role("button", name="Call", exact=True)
        await press.click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Cancel").click()
        await press.click()
        await dialog.wait_for()
        await page.keyboard.press("Escape")
        await dialog.wait_for(state="hidden")
        assert not [each for each in sent if each["method"] == "reset"]
        await press.click()
        await dialog.get_by_role("button", name="Call it").click()
        await page.locator(".outcome .json").wait_for()
        assert [each["params"] for each in sent if each["method"] == "reset"] == [
            {"everything": False}
        ]


async def test_a_rejected_form_has_no_result_below_it(console_page: ConsolePage) -> None:
    async with console_page(device(), "#/methods/switch") as (page, _, _):
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json").wait_for()
        await page.get_by_role("button", name="As JSON").click()
        await page.get_by_label("Params as JSON").fill("{")
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.get_by_text("This is no JSON").wait_for()
        assert await page.locator(".outcome .json").count() == 0
