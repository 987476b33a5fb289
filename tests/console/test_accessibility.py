"""axe-core finds no serious fault on any page, at two widths, light and dark, in both languages."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests import events, images
from tests.console.conftest import console_of
from tests.workplace import Workplace

AXE = Path(os.environ.get("MEKIKI_AXE", "node_modules/axe-core/axe.min.js"))
PATHS = ("/now", "/review", "/why?id=bag", "/try", "/search", "/nothing")


def test_axe_finds_no_serious_fault(band: Workplace, browser: Any, tmp_path: Path) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not there: npm install axe-core, or set MEKIKI_AXE")
    axe = AXE.read_text(encoding="utf-8")
    topics = band.settings.topics
    with band.running("score"):
        names = ("bag", "cup", "hat")
        band.broker.send(
            topics.uploaded,
            [events.uploaded_bytes(name, images.encoded(images.photo(1, 90, 90))) for name in names],
        )
        band.broker.wait_until_done(band.settings.kafka.group, topics.uploaded)
    found: list[str] = []
    with console_of(band, tmp_path, search_url="http://127.0.0.1:9") as console:
        for width, scheme, locale in ((1280, "light", "en"), (390, "dark", "ja")):
            page = browser.new_page(
                viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale
            )
            page.goto(f"{console.url}/now")
            for path in PATHS:
                page.goto(console.url + path)
                page.evaluate(axe)
                result = page.evaluate("axe.run()")
                found += [
                    f"{path} {width}: {one['id']} ({one['impact']}) {one['nodes'][0]['html'][:120]}"
                    for one in result["violations"]
                    if one["impact"] in ("serious", "critical", "moderate")
                ]
                overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                if page.evaluate(overflow):
                    found.append(f"{path} {width}: the page is wider than the screen")
            page.close()
    assert found == []
