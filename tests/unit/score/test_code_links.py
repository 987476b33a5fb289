"""Where codes lead: to a brand, to money, to a messenger, and what pretends to."""

import pytest

from schemas.events import Code
from schemas.policy import CodeRules, Policy, Threshold
from worker.score.code_links import code_scores

NAMES = ("code_foreign", "code_denied", "code_payment", "code_messenger")
POLICY = Policy(
    thresholds={name: Threshold(block=1) for name in NAMES},
    codes=CodeRules(allowed_hosts=["brand.example"], denied_hosts=["scam.example"]),
)


def said(*payloads, policy=POLICY):
    codes = [Code(format="QRCode", payload=payload, area_share=0.25) for payload in payloads]
    scores = code_scores(policy, codes)
    return {name.removeprefix("code_") for name, value in scores.items() if value == 1.0}


@pytest.mark.parametrize(
    "payload",
    [
        "https://brand.example/manual?id=1",
        "http://SHOP.Brand.Example./",
        "brand.example/x",
        "//brand.example/x",
    ],
)
def test_a_label_of_an_allowed_host(payload):
    assert said(payload) == set()


@pytest.mark.parametrize(
    "payload",
    [
        "https://brand.example.evil.test/", "https://notbrand.example/", "https://brand.example@evil.test/",
        "https://evil.test/#brand.example", "https://brand。example。evil.test/", "brand", "", None, "https://[bad/",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_foreign(payload):
    assert said(payload) == {"foreign"}


@pytest.mark.parametrize(
    "payload",
    [
        "https://qr.paypay.ne.jp/28180104abc", "upi://pay?pa=a@b", "bitcoin:1BoatSLRHtKNngkdXEeobR76b53LETt",
        "00020101021126370010A000000677", "wxp://f2f0abc", "BCD\u240a002\u240a1", "HTTPS://PAYPAL.ME/x",
    ],
)  # fmt: skip
def test_a_payment(payload):
    assert said(payload) == {"foreign", "payment"}


@pytest.mark.parametrize(
    "payload",
    [
        "https://line.me/ti/p/abc",
        "https://lin.ee/x",
        "line://ti/p/x",
        "https://wa.me/81900000000",
        "tg://resolve",
    ],
)
def test_a_messenger(payload):
    assert said(payload) == {"foreign", "messenger"}


def test_paying_by_a_messenger_is_a_payment():
    assert said("https://pay.line.me/x") == {"foreign", "payment"}


def test_a_denied_host_and_one_foreign_code_beside_a_brands():
    assert said("https://a.scam.example/x") == {"foreign", "denied"}
    assert said("https://brand.example/", "https://other.example/") == {"foreign"}


def test_only_what_the_policy_names_is_a_score():
    codes = [Code(format="QRCode", payload="https://line.me/x", area_share=0.5)]
    assert code_scores(Policy(), codes) == {"code_area": 0.5}
    assert code_scores(POLICY, []) == {}
