"""Pace: when the next commit is due. Soon where little is inside, and behind a backlog with more at once."""

# Of the events that may be in flight: so many that wait for a decoder are a backlog, and so many finished are
# worth a commit.
_BACKLOG_SHARE = 0.25
_FINISHED_SHARE = 0.25
# A backlog makes a commit wait for so many intervals at most.
_LONGEST = 5


class Pace:
    """Says when to commit, by the monotonic clock, in seconds.

    A transaction costs the broker and the worker the same whatever it holds. Where events wait in any case,
    fewer and larger ones leave more of the machine to images. What waits for a slow store is no backlog.
    """

    def __init__(self, interval: float, max_in_flight: int) -> None:
        self._interval = interval
        self._backlog = _BACKLOG_SHARE * max_in_flight
        self._worth = _FINISHED_SHARE * max_in_flight
        self._next = 0.0

    def is_due(self, now: float, waiting: int, finished: int) -> bool:
        """Whether to commit, where so many images wait for a decoder and so many events are finished."""
        if now < self._next:
            return False
        if waiting < self._backlog or finished >= self._worth:
            return True
        return now >= self._next + (_LONGEST - 1) * self._interval

    def begun(self, now: float) -> None:
        """A commit begins."""
        self._next = now + self._interval

    def hurry(self) -> None:
        """There is more than one commit takes."""
        self._next = float("-inf")
