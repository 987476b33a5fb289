"""A person at a real browser: an image in review is accepted by a key, found, undone, and gone again."""

import time
from pathlib import Path
from typing import Any

from tests import events, images
from tests.console.conftest import console_of
from tests.integration.running import http_json
from tests.kafka.client import wait_until
from tests.results import body, of_key
from tests.workplace import Workplace


def test_accepted_by_a_key_searchable_soon_undone_and_gone(
    band: Workplace, browser: Any, tmp_path: Path
) -> None:
    topics = band.settings.topics
    with band.running("score", "index") as roles:
        roles.wait_until_ready()
        with console_of(band, tmp_path, search_url=roles.url) as console:
            page = browser.new_page()
            page.goto(f"{console.url}/review")
            assert page.locator(".empty").is_visible()
            band.broker.send(
                topics.uploaded,
                [events.uploaded_bytes("bag", images.encoded(images.photo(1, 400, 300)))],
            )
            page.locator(".judge").wait_for(timeout=10_000)
            wait_until(
                lambda: page.evaluate("document.querySelector('.judge img').naturalWidth") > 0, "the picture"
            )
            page.fill("[name=reason]", "a real bag")
            page.locator("h1").click()
            began = time.monotonic()
            page.keyboard.press("a")

            def searchable() -> bool:
                return http_json(f"{roles.url}/search", {"image_id": "bag"})[0] == 200

            wait_until(searchable, "the accepted image to be searchable", 10)
            took = time.monotonic() - began
            print(f"accepted by key, searchable after {took:.2f} s")
            assert took < 2
            verdict = body(of_key(band.broker.read(topics.moderated), "bag")[-1])
            assert (verdict["decision"], verdict["decided_by"]) == ("accept", "person")
            assert verdict["review"]["reviewer"] == "local"
            assert verdict["review"]["reason"] == "a real bag"
            page.locator(".empty").wait_for()

            page.keyboard.press("u")
            wait_until(lambda: not searchable(), "the undone image to leave the index", 10)
            page.locator(".judge").wait_for(timeout=10_000)
            assert body(of_key(band.broker.read(topics.moderated), "bag")[-1])["decision"] == "review"

            page.goto(f"{console.url}/why?id=bag")
            kinds = page.locator("tbody td:nth-child(2)").all_inner_texts()
            assert [kind for kind in kinds if kind in ("uploaded", "reviewed")] == [
                "uploaded",
                "reviewed",
                "reviewed",
            ]

            began = time.monotonic()
            page.locator("#again button").click()
            page.locator("#judged .right").wait_for(timeout=60_000)
            print(f"judged again, the same, after {time.monotonic() - began:.1f} s")
            assert page.locator("#judged .badge.review").count() == 2
            page.close()
