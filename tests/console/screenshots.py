"""Draws the pages: `python -m tests.console.screenshots FOLDER`, with the demo's photos on a real Kafka."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests import events
from tests.console.conftest import console_of
from tests.integration.conftest import own_server
from tests.kafka.client import Broker, wait_until
from tests.network_guard import NetworkGuard
from tests.results import body
from tests.workplace import Workplace, make_settings
from worker.settings import STARTER_BUNDLE
from worker.stream.topics import create_topics

ASSETS = Path("worker/demo/assets")
_POLICY: dict[str, Any] = {
    "thresholds": {"text": {"block": 0.6, "review": 0.236}, "qr": {"block": 0.5, "review": 0.174}}
}
_STRICTER = {"thresholds": {"text": {"block": 0.232}, "qr": {"block": 0.3}}}
# Until the shadow is warm: what comes before is not tried.
_SHADOW_SECONDS = 15.0
_WHOLE = ("why", "try")
_SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def uploads() -> list[Any]:
    """The demo's photos and notices, of some shops."""
    files = sorted(path for path in ASSETS.rglob("*") if path.suffix in (".jpg", ".webp", ".png"))[::3][:90]
    records = []
    for number, file in enumerate(files):
        upload = body(events.uploaded_bytes(f"shop-{number % 7}/{file.stem}.jpg", file.read_bytes()))
        category = ("clothing", "shoes", "bags")[number % 3]
        records.append(events.as_json({**upload, "category": category}, upload["image_id"]))
    return records


def main(folder: Path) -> None:
    """Write NAME-WIDTH-SCHEME.png for each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, own_server(Path(home)) as server:
        settings = make_settings(server.bootstrap, Path(home), 2)
        create_topics(settings)
        place = Workplace(Broker(server.bootstrap), settings, NetworkGuard(None), Path(home))
        stricter = Path(home, "stricter.json")
        stricter.write_text(json.dumps(_STRICTER), encoding="utf-8")
        shadow = {"bundle": str(STARTER_BUNDLE), "policy_file": str(stricter)}
        tried = place.changed(model={"policy": _POLICY, "shadow": shadow, "repeats": 0})
        place = Workplace(place.broker, tried, place.guard, place.folder)
        with place.running("score", "index") as roles:
            time.sleep(_SHADOW_SECONDS)
            place.broker.send(settings.topics.uploaded, uploads())
            place.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
            with console_of(place, Path(home), search_url=roles.url) as console:
                draw(console.url, folder)


def draw(url: str, folder: Path) -> None:
    """Every page at every size."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for size, (width, height) in _SIZES.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme, locale="en"
                )
                page.goto(f"{url}/now")
                card = page.locator(".card", has=page.locator(".badge.accept")).first
                image_id = (card.get_attribute("href") or "").partition("id=")[2]
                pages = {"now": "/now", "review": "/review", "why": f"/why?id={image_id}", "try": "/try",
                         "search": f"/search?id={image_id}"}  # fmt: skip
                for name, path in pages.items():
                    page.goto(f"{url}{path}")
                    wait_until(lambda page=page: _drawn(page), "the pictures", 30)
                    if name == "why":
                        page.click("#again button")
                        page.locator("#judged table").wait_for(timeout=120_000)
                    page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=name in _WHOLE)
                page.close()
        browser.close()


def _drawn(page: Any) -> bool:
    script = (
        "[...document.images].filter(i => i.getBoundingClientRect().top < innerHeight).every(i => i.complete)"
    )
    return bool(page.evaluate(script))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
