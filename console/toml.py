"""A policy as TOML, to be pasted into the settings."""

import json
import re
from collections.abc import Iterator

from schemas.policy import Policy, Threshold

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def policy_toml(policy: Policy) -> str:
    """`policy` below `model.policy`."""
    return "\n".join(_lines(policy)) + "\n"


def _lines(policy: Policy) -> Iterator[str]:
    for name, threshold in policy.thresholds.items():
        yield f"[model.policy.thresholds.{_key(name)}]"
        yield from _threshold(threshold)
    for category, thresholds in policy.categories.items():
        for name, threshold in thresholds.items():
            yield f"[model.policy.categories.{_key(category)}.{_key(name)}]"
            yield from _threshold(threshold)
    if policy.codes is not None:
        yield "[model.policy.codes]"
        yield f"allowed_hosts = {json.dumps(policy.codes.allowed_hosts)}"
        yield f"denied_hosts = {json.dumps(policy.codes.denied_hosts)}"


def _threshold(threshold: Threshold) -> Iterator[str]:
    for name, level in (("block", threshold.block), ("review", threshold.review)):
        if level is not None:
            yield f"{name} = {level!r}"
    if threshold.unless is not None:
        yield f"unless = {{score = {_text(threshold.unless.score)}, below = {threshold.unless.below!r}}}"
    yield ""


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """A basic string of TOML: its escapes are those of JSON, but for DEL and surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
