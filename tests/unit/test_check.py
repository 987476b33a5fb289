"""Check: the findings that need no broker."""

import sys

import pytest

from worker.check import Finding, check
from worker.settings import Settings


def finding(subject: str, **codes: object) -> Finding:
    settings = Settings.model_validate({"codes": codes})
    # A generator: the broker, which there is none of, is only asked after these.
    return next(found for found in check(settings) if found.subject == subject)


def test_the_codes_stage_is_checked_where_it_is_on() -> None:
    found = finding("codes", enabled=True, max_side=480)
    assert found.holds
    assert found.detail == "QRCode, MicroQRCode, RMQRCode on images of at most 480 px"


def test_a_missing_library_is_found_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    found = finding("codes", enabled=True)
    assert not found.holds
    assert "install mekiki[codes]" in found.detail
