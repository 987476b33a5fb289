"""Again: an image of the log judged once more, beside its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from console.words import FindReference
from schemas.events import ImageModerated, ImageReference
from worker.errors import MekikiError
from worker.model.second_answer import Difference, SecondAnswer, differences

Judge = Callable[[ImageModerated, ImageReference], SecondAnswer]


@dataclass(frozen=True)
class Outcome:
    """The answer and what differs; or why there is none."""

    answer: SecondAnswer | None
    differs: Sequence[Difference] = ()
    why: str = ""


@dataclass(frozen=True)
class Again:
    """`judge` takes seconds, and is somebody else's process."""

    find_reference: FindReference
    judge: Judge

    def __call__(self, verdict: ImageModerated) -> Outcome:
        """Judge the image of `verdict` again. Never raises a MekikiError: it is the outcome."""
        try:
            image = self.find_reference(verdict.input)
            if image is None:
                return Outcome(None, why="the image's event is not in the log any more")
            answer = self.judge(verdict, image)
        except MekikiError as error:
            return Outcome(None, why=str(error))
        return Outcome(answer, differences(verdict, answer))
