"""Tests of the index wait for no disk: ngt/test_durable.py and ngt/test_build.py hold what is durable."""

import os

import pytest


@pytest.fixture(autouse=True, scope="package")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
