"""The tree in worker/errors.py is complete, and a rejection tells its reason."""

import importlib
import pkgutil
import re

import worker
import worker.errors
from schemas.rejection import RejectionReason
from worker.errors import MekikiError, Rejection


def raised_by_worker():
    """Every exception class that a module of worker defines."""
    names = (found.name for found in pkgutil.walk_packages(worker.__path__, "worker."))
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == module.__name__
    }


def test_the_tree_names_every_exception_of_the_worker():
    drawn = re.findall(r"^(?:│   )?[├└]── (\w+)", worker.errors.__doc__, re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert {*drawn, "MekikiError"} == {error.__name__ for error in raised_by_worker()}


def test_all_of_them_are_of_one_kind():
    others = {error.__name__ for error in raised_by_worker() if not issubclass(error, MekikiError)}
    assert others == {"RoomAskedFor"}  # decoding catches every Exception of a damaged image


def test_a_rejection_says_its_reason_and_its_detail():
    rejection = Rejection(RejectionReason.SOURCE_EMPTY, "the image has no bytes")
    assert str(rejection) == "source.empty: the image has no bytes"
    assert rejection.reason is RejectionReason.SOURCE_EMPTY
    assert rejection.detail == "the image has no bytes"
