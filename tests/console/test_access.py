"""The page for everybody: by keyboard, on a phone, in the dark, read aloud, and in Chinese."""

from typing import Any

import pytest

from tests.console.conftest import ConsolePage
from tests.console.test_forms import device

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

CONTRAST = """
() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((each) => {
      const part = each / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.evaluate("//body//text()[normalize-space()]", document, null, 7, null);
  const found = [];
  for (let at = 0; at < texts.snapshotLength; at++) {
    const node = texts.snapshotItem(at).parentElement;
    if (!node.checkVisibility() || node.closest(".visually-hidden, .skip, option")) continue;
    const both = [light(getComputedStyle(node).color), light(ground(node))];
    const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (contrast < 4.5) found.push([node.className, node.textContent]);
  }
  return found;
}
"""


async def test_all_of_it_by_keyboard(console_page: ConsolePage) -> None:
    async with console_page(device()) as (page, _, _):
        await page.get_by_role("link", name="plain").wait_for()
        await page.keyboard.press("Tab")
        assert await focused(page, "textContent") == "Skip to the content"
        await page.keyboard.press("/")
        assert await focused(page, "id") == "filter"
        await page.keyboard.type("swi")
        await page.keyboard.press("ArrowDown")
        assert await focused(page, "textContent") == "switch"
        await page.keyboard.press("ArrowUp")
        assert await focused(page, "id") == "filter"
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="switch").wait_for()
        await page.wait_for_function("document.activeElement.textContent === 'switch'")
        await page.keyboard.press("Tab")
        assert await focused(page, "type") == "checkbox"
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await page.locator(".outcome .json", has_text="null").wait_for()


async def focused(page: Any, what: str) -> Any:
    return await page.evaluate(f"document.activeElement.{what}")


async def test_what_a_screen_reader_is_told(console_page: ConsolePage) -> None:
    async with console_page(device(), "#/methods/plain") as (page, _, _):
        for role in ("banner", "main"):
            await page.get_by_role(role).wait_for()
        for name in ("Views", "Methods"):
            await page.get_by_role("navigation", name=name).wait_for()
        level = page.get_by_role("textbox", name="level", exact=True)
        told = await level.get_attribute("aria-describedby")
        texts = await page.evaluate(
            "(ids) => ids.split(' ').map((id) => document.getElementById(id)?.textContent)", told
        )
        assert "integer · 0 \N{EN DASH} 100" in texts
        await page.get_by_role("button", name="As JSON").click()
        await page.get_by_role("button", name="Call", exact=True).click()
        status = page.locator(".outcome [role=status]")
        await page.wait_for_function(
            "document.querySelector('.outcome [role=status]').textContent.startsWith('Failed')"
        )
        assert await status.text_content() == "Failed: Invalid params"
        without_name = await page.evaluate(
            "[...document.querySelectorAll('button, a, select, input')].filter((each) =>"
            " !each.ariaHidden && !each.textContent && !each.ariaLabel && !each.labels?.length"
            ").map((each) => each.outerHTML)"
        )
        assert without_name == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fragment", ["", "#/methods/plain", "#/methods/reset", "#/wire"])
async def test_texts_stand_out_in_both_schemes(
    console_page: ConsolePage, scheme: str, fragment: str
) -> None:
    context = {"color_scheme": scheme}
    async with console_page(device(), fragment, context=context) as (page, _, _):
        await page.locator("main h2").first.wait_for()
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        is_dark = sum(int(each) for each in ground[4:-1].split(",")) < 3 * 64
        assert is_dark == (scheme == "dark")
        assert await page.evaluate(CONTRAST) == []


async def test_on_a_phone_nothing_is_wider_than_the_screen(console_page: ConsolePage) -> None:
    context = {"viewport": {"width": 320, "height": 640}, "has_touch": True}
    async with console_page(device(), context=context) as (page, _, _):
        await page.get_by_role("link", name="composed").click()
        await page.get_by_role("group", name="places").get_by_role("button", name="Add").click()
        await page.get_by_role("button", name="As JSON").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        assert not await page.locator(".list").is_visible()
        await page.get_by_role("link", name="All methods").click()
        await page.locator(".list").wait_for()
        await page.get_by_role("link", name="Messages").click()
        await page.get_by_role("button", name="Record").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") == 320


async def test_chinese(console_page: ConsolePage) -> None:
    context = {"locale": "zh-CN"}
    async with console_page(device(), "#/methods/plain", context=context) as (page, _, _):
        await page.get_by_role("button", name="调用").click()
        await page.get_by_text("必须填写。").first.wait_for()
        assert await page.evaluate("document.documentElement.lang") == "zh"
        await page.get_by_label("Language / 语言").select_option("en")
        await page.get_by_text("A value is needed.").first.wait_for()
        await page.reload()
        await page.get_by_role("button", name="Call", exact=True).wait_for()


async def test_small_words(console_page: ConsolePage) -> None:
    async with console_page(device()) as (page, _, _):
        await page.get_by_role("img", name="dangerous").first.wait_for()
        await page.get_by_role("searchbox", name="Filter methods").fill("swit")
        await page.locator(".list [role=status]").get_by_text("1 method", exact=True).wait_for()
