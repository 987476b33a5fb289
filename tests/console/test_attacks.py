"""The usual attacks on a page of this kind (OWASP): each must come to nothing."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests import codes, events, images
from tests.console.conftest import BAND, console_of
from tests.console.http import Client
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, wait_until
from tests.results import body
from tests.workplace import Workplace

HOSTILE = "\"><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}'`--"
PAYLOAD = "javascript:alert(1)//<script>alert(1)</script>"
TOKENS = {"vera": ("viewer", "look-only"), "ren": ("reviewer", "may-decide")}


@dataclass(frozen=True)
class Site:
    place: Workplace
    url: str
    sessions: dict[str, Client] = field(default_factory=dict)

    def signed_in(self, name: str) -> Client:
        """One session for all tests: whoever guessed tokens before must wait to sign in."""
        if name not in self.sessions:
            self.sessions[name] = self.signed_in_anew(name)
        return self.sessions[name]

    def signed_in_anew(self, name: str) -> Client:
        answer = Client(self.url).post("/sign-in", {"token": TOKENS[name][1]})
        assert answer.status == 303
        return Client(self.url, {"cookie": answer.headers["set-cookie"].partition(";")[0]})

    def words(self) -> int:
        """How many reviewed events there are."""
        read = self.place.broker.read(self.place.settings.topics.uploaded)
        return sum(b"listing.image.reviewed.v1" in (record.value or b"") for record in read)


@pytest.fixture(scope="module")
def site(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    tokens = folder / "tokens"
    tokens.write_text(
        "\n".join(f"{n} {role} {hashlib.sha256(t.encode()).hexdigest()}" for n, (role, t) in TOKENS.items())
    )
    with workplaces(tmp_path_factory) as open_workplace:
        opened = open_workplace(kafka)
        settings = opened.changed(model={"policy": BAND}, codes={"enabled": True})
        place = Workplace(opened.broker, settings, opened.guard, opened.folder)
        topics = settings.topics
        with place.running("score"):
            hostile = body(events.uploaded_bytes(HOSTILE, images.encoded(codes.poster(PAYLOAD))))
            place.broker.send(
                topics.uploaded,
                [
                    events.as_json({**hostile, "category": HOSTILE}, HOSTILE),
                    events.uploaded(f"{HOSTILE}-lost", path=HOSTILE),
                    *(
                        events.uploaded_bytes(f"i{n}", images.encoded(images.photo(n, 64, 64)))
                        for n in range(5)
                    ),
                ],
            )
            place.broker.wait_until_done(settings.kafka.group, topics.uploaded)
            with console_of(place, folder, sign_in="tokens", tokens_file=tokens) as console:
                yield Site(place, console.url)


def test_stored_scripts_do_not_run(site: Site, browser: Any) -> None:
    """By file name, category, code payload, rejection detail, reviewer's reason."""
    client = site.signed_in("ren")
    place = client.place_of(HOSTILE)
    form = {"csrf": client.csrf(), "place": place, "word": "accept", "reason": HOSTILE}
    assert client.post("/review", form).status == 303
    wait_until(lambda: "by ren" in client.get("/why?id=" + _quoted(HOSTILE)).text, "the word to come back")
    context = browser.new_context(extra_http_headers={})
    page = context.new_page()
    problems: list[str] = []
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.goto(f"{site.url}/sign-in")
    page.fill("[name=token]", TOKENS["ren"][1])
    page.click("button.main")
    for path in ("/now", "/review?image=", "/why?id=", "/search?id=", "/try?focus="):
        page.goto(site.url + path + (_quoted(HOSTILE) if path.endswith("=") else ""))
        page.wait_for_load_state("networkidle")
        assert page.locator("script:not([src])").count() == 0
        assert page.locator("img[onerror], img[src=x]").count() == 0
        assert page.locator("a[href^=javascript]").count() == 0
    page.goto(f"{site.url}/why?id={_quoted(HOSTILE)}")
    assert "<script>alert(1)</script>{{7*7}}" in page.locator("main").inner_text()
    assert problems == []
    context.close()


def test_what_a_script_would_find_anyway(site: Site) -> None:
    answer = site.signed_in("vera").get("/now")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    set_cookie = Client(site.url).post("/sign-in", {"token": TOKENS["vera"][1]}).headers["set-cookie"].lower()
    assert "httponly" in set_cookie
    assert "samesite=strict" in set_cookie


@pytest.mark.parametrize(
    ("csrf", "headers"),
    [
        ("", {}),
        ("0" * 64, {}),
        ("theirs", {}),
        ("mine", {"sec_fetch_site": "cross-site"}),
        ("mine", {"sec_fetch_site": "same-site"}),
        ("mine", {"origin": "https://evil.test"}),
    ],
)
def test_a_page_of_another_site_decides_nothing(site: Site, csrf: str, headers: dict[str, str]) -> None:
    client = site.signed_in("ren")
    given = {"mine": client.csrf, "theirs": site.signed_in_anew("ren").csrf}.get(csrf, lambda: csrf)()
    before = site.words()
    form = {"csrf": given, "place": client.place_of("i1"), "word": "block"}
    assert client.post("/review", form, **headers).status == 403
    assert client.post("/sign-out", {"csrf": "x"}).status == 403
    assert site.words() == before


def test_a_form_of_another_kind_decides_nothing(site: Site) -> None:
    client = site.signed_in("ren")
    form = json.dumps({"csrf": client.csrf(), "place": client.place_of("i1"), "word": "block"}).encode()
    assert client.post("/review", form, content_type="text/plain").status == 415
    assert client.post("/review", b"x" * 100_000).status == 413


def test_who_may_only_look_decides_nothing(site: Site) -> None:
    client = site.signed_in("vera")
    before = site.words()
    form = {"csrf": client.csrf(), "place": client.place_of("i2"), "word": "accept"}
    assert client.post("/review", form).status == 403
    bearer = Client(site.url, {"authorization": f"Bearer {TOKENS['vera'][1]}"})
    assert bearer.post("/review", form).status == 403
    assert 'name="word"' not in client.get("/review").text
    assert site.words() == before


def test_a_platform_decides_by_its_token_about_the_bytes_that_it_saw(site: Site) -> None:
    """What comes back from who owns the queue: by id and digest, and twice said is once."""
    platform = Client(site.url, {"authorization": f"Bearer {TOKENS['ren'][1]}"})
    verdicts = site.place.broker.read(site.place.settings.topics.moderated)
    (seen,) = [body(each)["image_sha256"] for each in verdicts if each.key == b"i4"]
    before = site.words()
    form = {"image_id": "i4", "word": "block", "reason": "by the platform"}
    assert platform.post("/review", form).status == 409
    assert platform.post("/review", {**form, "image_sha256": "0" * 64}).status == 409
    assert platform.post("/review", {**form, "image_id": "none", "image_sha256": seen}).status == 404
    assert site.words() == before
    assert platform.post("/review", {**form, "image_sha256": seen}).status == 303
    assert site.words() == before + 1
    wait_until(lambda: "block by ren" in platform.get("/why?id=i4").text, "the word to come back")
    assert platform.post("/review", {**form, "image_sha256": seen}).status == 303
    assert site.words() == before + 1


def test_a_page_of_another_site_has_nothing_judged(site: Site) -> None:
    """It changes nothing, and takes a processor for seconds."""
    client = site.signed_in("vera")
    form = {"place": client.place_of("i1")}
    assert client.post("/why/again", form).status == 403
    own = {**form, "csrf": client.csrf()}
    assert client.post("/why/again", own, sec_fetch_site="cross-site").status == 403
    assert Client(site.url).post("/why/again", own).status == 401
    assert client.post("/why/again", {**own, "place": "9-9"}).status == 404
    answers = [client.post("/why/again", {**own, "place": "9-9"}).status for _ in range(10)]
    assert 429 in answers


@pytest.mark.parametrize("field", ["id", "plus", "exclude", "radius", "categories", "uploaded_from"])
def test_what_is_searched_for_is_text(site: Site, field: str) -> None:
    text = site.signed_in("vera").get(f"/search?{field}={_quoted(HOSTILE)}").text
    assert "<script>alert" not in text
    assert "<img src=x" not in text


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/now", "/now/cards", "/review", "/why?id=i1", "/try", "/try/count", "/search?id=i1&plus=i1"),
        *("/picture/0-0", "/language/ja"),
    ],
)
def test_who_is_not_known_sees_nothing(site: Site, path: str) -> None:
    for headers in ({}, {"cookie": "mekiki_session=a.9999999999.b.c"}, {"authorization": "Bearer wrong"},
                    {"x-forwarded-user": "ren", "x-forwarded-groups": "mekiki-reviewer"}):  # fmt: skip
        answer = Client(site.url, headers).get(path)
        assert answer.status in (303, 401)
        assert "i1" not in answer.text
        assert answer.headers.get("location", "/sign-in") == "/sign-in"


def test_a_session_cannot_be_made_longer_or_another_s(site: Site) -> None:
    cookie = site.signed_in("vera").headers["cookie"]
    name, _, value = cookie.partition("=")
    digest, until, nonce, signature = value.split(".")
    ren = hashlib.sha256(TOKENS["ren"][1].encode()).hexdigest()[:16]
    for forged in (
        (ren, until, nonce, signature),
        (digest, str(int(until) + 9), nonce, signature),
        ("", "", "", ""),
    ):
        assert Client(site.url, {"cookie": f"{name}={'.'.join(forged)}"}).get("/now").status == 303


@pytest.mark.parametrize("path", ["/static/../pages.py", "/static/%2e%2e/pages.py", "/static/..%2fpages.py",
                                  "/static/%2e%2e%2f%2e%2e%2fetc/passwd", "/static//etc/passwd",
                                  "/picture/..%2f..%2fetc%2fpasswd", "/picture/-1-0", "/picture/0-99999999",
                                  "/picture/0-0'--", "/language/..%2f..%2fx"])  # fmt: skip
def test_no_path_leads_out(site: Site, path: str) -> None:
    answer = site.signed_in("vera").get(path)
    assert answer.status == 404
    assert "root:" not in answer.text
    assert "def " not in answer.text


def test_no_redirect_leads_to_another_site(site: Site) -> None:
    client = site.signed_in("vera")
    for back in ("https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"):
        assert client.get(f"/language/ja?back={_quoted(back)}").headers["location"] == "/now"


def test_questions_are_no_commands_to_the_database(site: Site) -> None:
    client = site.signed_in("vera")
    for given in (
        "' or 1=1 --",
        "i1' union select * from lease --",
        "%",
        "\0",
        "\ud800".encode("utf-8", "surrogatepass"),
    ):
        answer = client.get(f"/why?id={_quoted(given)}")
        assert answer.status == 200
        assert 'class="latest"' not in answer.text


@pytest.mark.parametrize("query", ["text.block=nan", "text.block=inf", "text.block=abc", "text.review=1e999"])
def test_a_level_that_is_none_is_refused(site: Site, query: str) -> None:
    assert site.signed_in("vera").get(f"/try/count?{query}").status == 400


def test_guessing_tokens_is_slow(site: Site) -> None:
    client = Client(site.url, {})
    answers = [client.post("/sign-in", {"token": f"guess-{n}"}).status for n in range(40)]
    assert answers.count(429) > 10
    assert client.post("/sign-in", {"token": TOKENS["ren"][1]}).status == 429


def _quoted(text: str | bytes) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
