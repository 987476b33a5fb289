"""gRPC calls with a deadline each, made again while that may help, and counted."""

import random
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import grpc

from worker.errors import ConfigurationError, IndexUnavailable
from worker.metrics import Metrics

_FIRST_PAUSE = 0.01
_LAST_PAUSE = 1.0
_TOLD_CHARACTERS = 300

# What may be otherwise a moment later.
_PASSING = {
    grpc.StatusCode.ABORTED,  # an agent creates its index
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,  # such as a gateway without agents
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
}

_OPTIONS = (
    # Who is back is found at once, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
)


class Patience:
    """`seconds` for something with all its repeats; the pauses between them grow."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._next = _FIRST_PAUSE
        self._reason = ""

    def left(self, most: float | None = None) -> float:
        """Seconds that are left, at most `most`."""
        left = max(0.001, self._end - time.monotonic())
        return left if most is None else min(left, most)

    def reason(self, told: str, *, is_late: bool = False) -> str:
        """What to say of a failure: a repeat that came late, in what time was left, hides no other."""
        if not (is_late and self._reason):
            self._reason = told
        return self._reason

    def pause(self) -> bool:
        """Wait a little; False at once where no time is left."""
        wait = self._next * random.uniform(0.5, 1.0)
        if time.monotonic() + wait >= self._end:
            return False
        time.sleep(wait)
        self._next = min(2 * self._next, _LAST_PAUSE)
        return True


class Calls:
    """Calls to `address`, of at most `timeout` seconds each."""

    def __init__(self, address: str, timeout: float, metrics: Metrics) -> None:
        self.address = address
        self._timeout = timeout
        self._metrics = metrics

    def call(
        self,
        kind: str,
        method: Callable[..., Any],
        request: Any,
        patience: Patience,
        none_for: Collection[grpc.StatusCode] = (),
    ) -> Any:
        """The answer; None where the code is one of `none_for`.

        Raises:
            IndexUnavailable: `patience` is at its end.
            ConfigurationError: it would fail for ever.

        """
        while True:
            began = time.perf_counter()
            try:
                answer = method(request, timeout=patience.left(self._timeout))
            except grpc.RpcError as error:
                if error.code() in none_for:
                    return None
                self.after(kind, error, patience, began)
            except ValueError as error:  # the channel was closed meanwhile
                raise IndexUnavailable(f"{self.address} ({kind}): {error}") from error
            else:
                self.count(kind, "ok", began)
                return answer

    def try_once(self, kind: str, method: Callable[..., Any], request: Any, timeout: float) -> None:
        """One call of at most `timeout` seconds; a failure that may pass is counted, and the caller's to see.

        FAILED_PRECONDITION is none: there is nothing to do.

        Raises:
            ConfigurationError: it would fail for ever.

        """
        began = time.perf_counter()
        try:
            method(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                self._tell(kind, error, began)
        else:
            self.count(kind, "ok", began)

    def call_all(
        self,
        kind: str,
        method: Any,
        requests: Sequence[Any],
        patience: Patience,
        none_for: Collection[grpc.StatusCode] = (),
    ) -> list[Any]:
        """As `call`, of each of `requests`, side by side; those that fail are made again together."""
        left, answers = dict(enumerate(requests)), dict[int, Any]()
        while left:
            began, timeout = time.perf_counter(), patience.left(self._timeout)
            running = {number: method.future(each, timeout=timeout) for number, each in left.items()}
            failure: grpc.RpcError | None = None
            for number, future in running.items():
                try:
                    answers[number] = future.result()
                    self.count(kind, "ok", began)
                except grpc.RpcError as error:
                    if error.code() not in none_for:
                        failure = error
                        continue
                    answers[number] = None
                del left[number]
            if failure is not None:
                self.after(kind, failure, patience, began)
        return [answers[number] for number in range(len(requests))]

    def after(self, kind: str, error: grpc.RpcError, patience: Patience, began: float) -> None:
        """Wait before a call that failed is made again, or raise as `call` does."""
        told = f"the Vald cluster does not answer: {self._tell(kind, error, began)}"
        reason = patience.reason(told, is_late=error.code() is grpc.StatusCode.DEADLINE_EXCEEDED)
        if not patience.pause():
            raise IndexUnavailable(reason) from error

    def _tell(self, kind: str, error: grpc.RpcError, began: float) -> str:
        """Count a failure that may pass, and put it into words; any other raises ConfigurationError."""
        self.count(kind, "failed", began)
        code = error.code()
        told = f"{self.address} ({kind}): {code.name}: {str(error.details())[:_TOLD_CHARACTERS]}"
        if code not in _PASSING:
            raise ConfigurationError(
                f"the Vald cluster refuses a call: {told}. `mekiki check` looks at index.vald.address, the "
                "cluster's dimension and its kind of distance"
            ) from error
        return told

    def count(self, kind: str, result: str, began: float) -> None:
        """Tell of a call that began at `began` of time.perf_counter()."""
        self._metrics.vald_seconds.labels(kind, result).observe(time.perf_counter() - began)


def open_channel(address: str, ca_file: Path | None) -> grpc.Channel:
    """A connection to `address`, HOST:PORT, by TLS where `ca_file` (PEM) names its authority.

    Raises:
        ConfigurationError: the file cannot be read.

    """
    if ca_file is None:
        return grpc.insecure_channel(address, _OPTIONS)
    try:
        authority = ca_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"index.vald.ca_file {ca_file} cannot be read: {error}") from error
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), _OPTIONS)
