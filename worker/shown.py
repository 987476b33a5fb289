"""Shown: text for people's terminals and logs, of which strangers wrote parts.

Control characters, those that turn the direction of writing, and separators of lines become visible escapes:
no text begins a line of its own or commands a terminal. Passwords, tokens and signatures in URLs are masked.
"""

import re
from typing import Final

_MASK: Final = "********"
# C0, DEL and C1; line and paragraph separators; what overrides or isolates the direction; lone surrogates.
CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# RFC 3986, 3.2.1. A name alone is masked in http, where it is as often a token.
_USER = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<name>[^\s/?#:@]{0,500})(?::[^\s/?#]{0,2000})?@"
)
_NAMES = (
    *("access_token", "api_?key", "auth(?:_?token)?", "code", "credential", "key", "pass(?:word|wd)?", "pwd"),
    *("secret(?:_?key)?", "session(?:_?id)?", "sig(?:nature)?", "token", "awsaccesskeyid", "client_secret"),
    r"x-(?:amz|goog|oss|cos|obs|ms)-(?:signature|credential|security-token)",
)
_QUERY = re.compile(rf"(?P<name>[?&;](?:{'|'.join(_NAMES)})=)[^&;#\s\"'<>]+", re.IGNORECASE)


def shown(text: str) -> str:
    """`text` on one line, without secrets of URLs."""
    return visible(masked_urls(text))


def visible(text: str) -> str:
    """`text` with its control characters as escapes of Python."""
    return CONTROL.sub(_escape, text)


def masked_urls(text: str) -> str:
    """`text` with the secrets inside its URLs masked: passwords of users, and what queries call a secret."""
    return _QUERY.sub(rf"\g<name>{_MASK}", _USER.sub(_masked_user, text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _masked_user(found: re.Match[str]) -> str:
    scheme, name = found["scheme"], found["name"]
    has_password = found[0] != f"{scheme}{name}@"
    if has_password:
        return f"{scheme}{name}:{_MASK}@"
    return f"{scheme}{_MASK}@" if scheme.lower() in {"http://", "https://"} else found[0]
