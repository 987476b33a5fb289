"""Signatures of Standard Webhooks (standardwebhooks.com, version 1): HMAC-SHA256 of id, time and body."""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from worker.errors import ConfigurationError

_PREFIX = "whsec_"
_LEAST, _MOST = 24, 64  # bytes, as the specification wants them


def read_secrets(file: Path) -> list[bytes]:
    """The secrets of a file, one a line as `whsec_BASE64`; with several, a receiver may know either of them.

    Raises:
        ConfigurationError: it cannot be read, or holds none.

    """
    try:
        lines = file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"webhooks.secret_file cannot be read: {error}") from error
    if not lines:
        raise ConfigurationError(f"webhooks.secret_file {file} holds no secret")
    return [_secret(line) for line in lines]


def _secret(line: str) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not line.startswith(_PREFIX) or not _LEAST <= len(secret) <= _MOST:
        raise ConfigurationError(
            f"webhooks.secret_file: write {_PREFIX} and the base64 of {_LEAST} to {_MOST} random bytes: "
            f'echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return secret


def signed_headers(secrets: list[bytes], message_id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message that is sent at `at`, in Unix seconds."""
    content = f"{message_id}.{at}.".encode() + body
    signatures = [hmac.digest(secret, content, hashlib.sha256) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }
