"""What the codes in an image say: where they lead, as scores that a policy can set thresholds on.

A brand's label leads to the brand and is a product; a payment code is not. Payloads are strangers' text:
they are compared, and never opened.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from schemas.events import Code
from schemas.policy import (
    CODE_AREA,
    CODE_DENIED,
    CODE_FOREIGN,
    CODE_MESSENGER,
    CODE_PAYMENT,
    CodeRules,
    Policy,
)

# Links that ask for money, and links to a person or a group: the hosts and schemes of well-known services.
PAYMENT_HOSTS = frozenset(
    {
        *("qr.paypay.ne.jp", "paypay.me", "pay.line.me", "paypal.me", "paypal.com", "pay.merpay.com"),
        *("rakutenpay.jp", "aupay.auone.jp", "dbarai.com", "cash.app", "venmo.com", "revolut.me"),
        *("qr.alipay.com", "render.alipay.com", "payapp.weixin.qq.com", "pay.google.com", "wise.com"),
    }
)
PAYMENT_SCHEMES = frozenset(
    {
        *("upi", "wxp", "alipays", "alipayqr", "paypay", "linepay", "payto", "swish", "bizum", "sepa"),
        *("bitcoin", "ethereum", "lightning", "litecoin", "monero"),
    }
)
MESSENGER_HOSTS = frozenset(
    {
        *("line.me", "lin.ee", "liff.line.me", "wa.me", "api.whatsapp.com", "chat.whatsapp.com", "t.me"),
        *("telegram.me", "discord.gg", "discord.com", "m.me", "signal.me", "signal.group", "u.wechat.com"),
        *("weixin.qq.com", "open.kakao.com", "kakaotalk.com", "instagram.com", "ig.me"),
    }
)
MESSENGER_SCHEMES = frozenset(
    {
        "line",
        "whatsapp",
        "tg",
        "weixin",
        "sgnl",
        "viber",
        "kakaotalk",
        "fb-messenger",
        "skype",
        "smsto",
        "sms",
        "tel",
    }
)
# EMV QR codes of merchants begin so (EMVCo, Merchant-Presented Mode): the payload format indicator, 01.
_EMV = re.compile(r"000201(01|26|[0-5]\d)")
# European credit transfers (EPC069-12).
_EPC = re.compile(r"BCD[\r\n\u240d\u240a]+00[12]")


def code_scores(policy: Policy, codes: Sequence[Code]) -> dict[str, float]:
    """The scores of `codes`, the largest first: `code_area`, and of the rest those that `policy` names.

    Empty where no code was read.
    """
    if not codes:
        return {}
    scores = {CODE_AREA: codes[0].area_share}
    rules, named = policy.codes or CodeRules(), policy.score_names()
    links = [_link(code.payload) for code in codes]
    if CODE_FOREIGN in named:
        scores[CODE_FOREIGN] = float(not all(_below(host, rules.allowed_hosts) for _, host, _ in links))
    if CODE_DENIED in named:
        scores[CODE_DENIED] = float(any(_below(host, rules.denied_hosts) for _, host, _ in links))
    if CODE_PAYMENT in named:
        scores[CODE_PAYMENT] = float(any(map(_is_payment, links)))
    if CODE_MESSENGER in named:
        scores[CODE_MESSENGER] = float(any(map(_is_messenger, links)))
    return scores


_Link = tuple[str, str, str]  # scheme, host and payload


def _link(payload: str | None) -> _Link:
    text = (payload or "").strip()
    # "example.com/x" and "//example.com" are opened by readers as links too.
    scheme, separator, _ = text.partition(":")
    given = text if separator and scheme.isascii() and "." not in scheme else f"https://{text.lstrip('/')}"
    try:
        parts = urlsplit(given)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        return "", "", text
    return parts.scheme.lower(), host.lower(), text


def _is_payment(link: _Link) -> bool:
    scheme, host, text = link
    is_form = _EMV.match(text) is not None or _EPC.match(text) is not None
    return is_form or scheme in PAYMENT_SCHEMES or _below(host, PAYMENT_HOSTS)


def _is_messenger(link: _Link) -> bool:
    scheme, host, _ = link
    return scheme in MESSENGER_SCHEMES or (_below(host, MESSENGER_HOSTS) and not _below(host, PAYMENT_HOSTS))


def _below(host: str, hosts: Iterable[str]) -> bool:
    """Whether `host` is one of `hosts` or below one: shop.example.com is below example.com."""
    return any(host == one or host.endswith(f".{one}") for one in hosts) if host else False
