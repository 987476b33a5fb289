"""What people read of strangers' text: one line, no commands to a terminal, no secrets of URLs."""

import time

import pytest

from worker.shown import masked_urls, shown, visible

MASK = "********"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n2026-11-27 INFO worker: all is well", r"a\n2026-11-27 INFO worker: all is well"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\x00b\x7f", r"a\x00b\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),  # C1: a control sequence, and a new line
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\u202egnp.exe\u202c \u2066x\u2069", r"\u202egnp.exe\u202c \u2066x\u2069"),
        ("\ud800", r"\ud800"),
        ("写真 é 👟 \u00a0 C:\\n", "写真 é 👟 \u00a0 C:\\n"),
    ],
)
def test_control_characters_are_made_visible_and_no_others(text, told):
    assert visible(text) == told
    assert len(shown(text).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql://user:secret@host/db", f"postgresql://user:{MASK}@host/db"),
        ("https://user:se:cr@et@host/x", f"https://user:{MASK}@host/x"),
        ("redis://:secret@host", f"redis://:{MASK}@host"),
        ("https://ghp_token@host/x", f"https://{MASK}@host/x"),
        ("HTTP://token@host", f"HTTP://{MASK}@host"),
        ("postgresql+psycopg://user@host/db", "postgresql+psycopg://user@host/db"),
        ("(see http://u:p@a/ and http://v:q@b/)", f"(see http://u:{MASK}@a/ and http://v:{MASK}@b/)"),
        ("'amqp://u:p%40ss@host'", f"'amqp://u:{MASK}@host'"),
    ],
)
def test_passwords_of_urls_are_masked(text, told):
    assert masked_urls(text) == told


@pytest.mark.parametrize(
    "name",
    [
        *(
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "X-Goog-Signature",
            "x-oss-signature",
        ),
        *(
            "sig",
            "Signature",
            "token",
            "access_token",
            "api_key",
            "apikey",
            "key",
            "password",
            "AWSAccessKeyId",
        ),
        *("client_secret", "session_id"),
    ],
)
def test_secrets_in_queries_are_masked_and_the_rest_is_told(name):
    url = f"https://store.example/a.jpg?width=3&{name}=AbC%2F12=&expires=7#x"
    assert masked_urls(f"GET {url} failed") == (
        f"GET https://store.example/a.jpg?width=3&{name}={MASK}&expires=7#x failed"
    )
    assert masked_urls(f"/a?{name}=secret;b=1") == f"/a?{name}={MASK};b=1"


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/a@b/c?d=e@f",
        "https://store.example/a.jpg?keyword=shoes&design=1&monkey=2",
        "mail to user@host, at 10:30@home",
        "key=value of a setting",
        "s3://bucket/key@2x.png",
    ],
)
def test_what_is_no_secret_stays(text):
    assert masked_urls(text) == text


@pytest.mark.parametrize(
    "text", ["http://" * 20_000, "a://" + "x:" * 50_000, "?key=" * 20_000, "&sig" * 30_000]
)
def test_no_text_takes_long(text):
    began = time.process_time()
    shown(text)
    assert time.process_time() - began < 0.5
