"""What the console tells Prometheus of the queue and of its place in the log."""

from dataclasses import dataclass

from console.queue import Queue
from console.rows import IN_REVIEW, NEAR
from worker.metrics import Metrics


@dataclass(frozen=True)
class Figures:
    """Called now and then by the reading thread."""

    queue: Queue
    metrics: Metrics

    def __call__(self, lag: int) -> None:
        """Tell how things stand; `lag` is in records that are not read yet.

        Raises:
            StageError: the database failed.

        """
        waiting = self.queue.waiting()
        for name, number in (("review", IN_REVIEW), ("near", NEAR)):
            self.metrics.console_waiting.labels(name).set(waiting.get(number, 0))
        self.metrics.console_oldest.set((self.queue.oldest_in_review() or 0) / 1000)
        self.metrics.console_lag.set(lag)
