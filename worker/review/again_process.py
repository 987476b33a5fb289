"""Asks a process of its own to judge an image again, which ends with its answer."""

import subprocess
import sys
import threading

from schemas.events import ImageModerated, ImageReference
from worker.errors import StageError
from worker.model.second_answer import SecondAnswer
from worker.review.judge_again import Told, question
from worker.settings import Settings

_MODULE = "worker.review.judge_again"
_SECONDS = 120.0


class JudgeAgain:
    """Thread-safe; one image at a time, others wait for their turn."""

    def __init__(self, settings: Settings, module: str = _MODULE, seconds: float = _SECONDS) -> None:
        """`module` is run, and has `seconds` to answer."""
        self._settings = settings
        self._module = module
        self._seconds = seconds
        self._turn = threading.Lock()

    def __call__(self, verdict: ImageModerated, image: ImageReference) -> SecondAnswer:
        """What is said of `image` now.

        Raises:
            StageError: there is no answer; with why.

        """
        asked = question(self._settings, verdict, image).model_dump_json()
        with self._turn:
            try:
                done = subprocess.run(
                    [sys.executable, "-m", self._module],
                    input=asked.encode(), stdout=subprocess.PIPE, timeout=self._seconds, check=True,
                )  # fmt: skip
                told = Told.model_validate_json(done.stdout)
            except subprocess.TimeoutExpired as error:
                raise StageError(f"it was not judged within {self._seconds:g} s") from error
            except (subprocess.CalledProcessError, OSError, ValueError) as error:
                raise StageError(f"it was not judged: {error}") from error
        if told.answer is None:
            raise StageError(told.why)
        return told.answer
