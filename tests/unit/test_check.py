"""Check: the findings that need no broker."""

import sys

import pytest

from worker.check import Finding, check
from worker.settings import STARTER_BUNDLE, Settings


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


@pytest.mark.parametrize("name", ["canary", "shadow"])
def test_a_bundle_that_is_tried_is_checked(name: str) -> None:
    def told(bundle: object) -> Finding:
        settings = Settings.model_validate({"model": {name: {"bundle": bundle, "share": 0.25}}})
        return next(found for found in check(settings) if found.subject == f"model.{name}")

    assert told(STARTER_BUNDLE).detail.endswith(" for 25% of the images")
    missing = told("/nowhere")
    assert not missing.holds
    assert "there is no bundle in /nowhere" in missing.detail
