"""The exceptions of the worker, all that it raises on purpose.

MekikiError
├── Rejection                the input is at fault: one event goes to the DLQ, the rest go on
│   └── StoreFailed          the image's server is, for now: asked again for hours before it is a rejection
├── ConfigurationError       the operator's settings are at fault: start-up fails
├── BundleError              a bundle is damaged or of another shape: start-up fails
├── ProviderError            the ONNX provider asked for is not there: start-up fails
├── IndexDirectoryError      an index directory is damaged, foreign or owned by another process
├── IndexUnavailable         the Vald cluster of an index does not answer: a search gets 503, the role ends
├── BrokerError              Kafka failed for good: the worker stops without committing
├── StageError               a stage of ours failed: the worker stops without committing
├── RejectionLimitExceeded   too many rejections in a row: the worker halts without committing
│
│   Inside one folder, beside the code that knows what to do about them:
├── NotDelivered             stream: an attempt left nothing durable, and is made again
├── NameServerError          fetch: no answer from DNS; it is asked again, then for other names
├── ChangedMeanwhile         fetch: a file was swapped or written while it was read; it is read again
├── NoRoom                   fetch: memory is taken up; the image is fetched when there is some
├── DecoderDied              model: a decoder child ended with an image in its hands
├── ShadowEnded              model: the process of a bundle that is tried ended; it is dropped and counted
├── RoomAskedFor             model: a decoder child asks for memory; no Exception, which decoding would catch
├── NotTaken                 fetch: an object store does not take our credentials; it is waited for
├── NoAnswer                 fetch: an image's server failed for now, and is asked again
├── Damaged                  index/ngt: checksums do not hold; the generation is set aside
├── OldFormat                index/ngt: a generation of an earlier release; the index is rebuilt from the log
├── BuildFailed              index/ngt: the child process ended without a segment; tried again
├── NotImported              index/offline: a Parquet file holds no index, or a row of it no image
├── NoTurn                   index: too many searches wait; answered with 503
├── CursorRefused            index: the next page cannot be told from this cursor
├── Refused                  the HTTP door: a request is answered with an error
└── SearchRefused            index: a search is answered with an error
"""

from schemas.rejection import RejectionReason


class MekikiError(Exception):
    """Base of everything that the worker raises on purpose."""


class Rejection(MekikiError):
    """The input event is at fault. `detail` says what, where and what to do, for a person."""

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StoreFailed(Rejection):
    """The server of an image failed in a way that may pass: refused, silent, overloaded (429), broken (5xx).

    `host` is the one that failed; `retry_after` is in seconds, where it said so. Once it has been asked for
    long enough, this is the event's rejection. `is_ours`: it is not the server but our own name server or
    credentials, which are waited for.
    """

    def __init__(
        self,
        reason: RejectionReason,
        detail: str,
        host: str,
        retry_after: float | None = None,
        *,
        is_ours: bool = False,
    ) -> None:
        super().__init__(reason, detail)
        self.host = host
        self.retry_after = retry_after
        self.is_ours = is_ours


class ConfigurationError(MekikiError):
    """The settings are incomplete, contradictory or do not fit the machine."""


class BundleError(MekikiError):
    """A model bundle is missing, damaged or of another shape than its manifest says."""


class ProviderError(MekikiError):
    """The ONNX Runtime execution provider that was asked for cannot be used here."""


class IndexDirectoryError(MekikiError):
    """The index directory cannot be used: damaged, of another space, or owned by another process."""


class IndexUnavailable(MekikiError):
    """What keeps the vectors does not answer, or not in time; nothing was acknowledged, nothing is lost."""


class BrokerError(MekikiError):
    """Kafka failed in a way that retrying cannot mend; nothing was committed."""


class StageError(MekikiError):
    """A stage of the pipeline failed by our own fault; nothing was committed."""


class RejectionLimitExceeded(MekikiError):
    """More rejections than the limit allows: a bad deploy or a broken producer."""
