"""Azure: the signature of a shared access signature, made anew where obstore's does not hold.

obstore signs a blob's name as it stands in the URL, escaped; Azure checks it as it is ("Create a service
SAS": the fields of the string to sign are URL-decoded). Where there is nothing to escape, both are the same.
"""

import base64
import hmac
from urllib.parse import parse_qsl, quote, unquote

# Of the string to sign, behind the version: resource, snapshot, encryption scope, five response headers.
_VERSION = "2020-12-06"


def is_signed_escaped(url: str) -> bool:
    """Whether a blob's signed URL has a path with anything escaped: its signature does not hold then."""
    path = url.partition("?")[0]
    return path != unquote(path)


def signed_anew(url: str, account: str, key: str) -> str:
    """The same URL with the signature of `account` by its `key`, base64, over the blob's name as it is.

    Raises:
        ValueError: the key is no base64, or the URL is of a version with other fields.

    """
    path, _, query = url.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    if given["sv"] < _VERSION:
        raise ValueError(f"a signature of version {given['sv']} has other fields")
    name = unquote(path.partition("://")[2].partition("/")[2])
    fields = (
        *(given.get(field, "") for field in ("sp", "st", "se")),
        f"/blob/{account}/{name}",
        *(given.get(field, "") for field in ("si", "sip", "spr", "sv", "sr")),
        *[""] * 7,
    )
    secret = base64.b64decode(key, validate=True)
    given["sig"] = base64.b64encode(hmac.digest(secret, "\n".join(fields).encode(), "sha256")).decode()
    return f"{path}?" + "&".join(f"{field}={quote(value, safe='')}" for field, value in given.items())
