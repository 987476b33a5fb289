"""What stands between a browser and the pages: headers, cross-site requests, how often, how large."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import urlsplit

# No inline script or style, nothing from elsewhere, in no frame.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_MOST_PEOPLE = 10_000


class RateLimit:
    """`rate` requests a second of one who asks, `burst` at once. Thread-safe; memory is bounded."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, who: str, cost: float = 1.0) -> bool:
        """Whether one more is let through; `cost` 0 asks, and counts nothing."""
        now = time.monotonic()
        with self._lock:
            left, at = self._left.pop(who, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._rate)
            allowed = left >= 1
            self._left[who] = (left - cost if allowed else left, now)
            if len(self._left) > _MOST_PEOPLE:
                self._left.popitem(last=False)
        return allowed


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site sent a request, as far as the browser tells."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def names_this_machine(host: str) -> bool:
    """Whether a Host header is one of loopback: a foreign name that leads here is DNS rebinding."""
    name = urlsplit(f"//{host}").hostname
    return name in ("localhost", "127.0.0.1", "::1")
