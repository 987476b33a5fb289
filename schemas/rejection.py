"""Why an event was rejected: the closed list of typed reasons."""

from enum import StrEnum


class RejectionReason(StrEnum):
    """What was wrong with an input event. The part before the dot is the stage that found it.

    Only faults of the input stand here: a failure of our own stops or delays the worker and never becomes
    a rejection. `fetch.unreadable` is one of a single file, which was tried again while others were read, and
    `worker.crashed` of a single event, which was alone in two processes in a row when they ended;
    `worker.failed` of a single event that our stages failed with five times, while others got on.
    """

    ENVELOPE_NOT_JSON = "envelope.not_json"
    ENVELOPE_INVALID = "envelope.invalid"
    ENVELOPE_TOO_LARGE = "envelope.too_large"
    ENVELOPE_UNKNOWN_TYPE = "envelope.unknown_type"
    SOURCE_BAD_BASE64 = "source.bad_base64"
    SOURCE_EMPTY = "source.empty"
    SOURCE_UNSUPPORTED = "source.unsupported"
    FETCH_NOT_FOUND = "fetch.not_found"
    FETCH_HTTP_STATUS = "fetch.http_status"
    FETCH_TIMEOUT = "fetch.timeout"
    FETCH_TOO_LARGE = "fetch.too_large"
    FETCH_FORBIDDEN_ADDRESS = "fetch.forbidden_address"
    FETCH_TOO_MANY_REDIRECTS = "fetch.too_many_redirects"
    FETCH_UNREACHABLE = "fetch.unreachable"
    FETCH_UNREADABLE = "fetch.unreadable"
    FETCH_OUTSIDE_FOLDER = "fetch.outside_folder"
    IMAGE_NOT_AN_IMAGE = "image.not_an_image"
    IMAGE_CORRUPT = "image.corrupt"
    IMAGE_TOO_MANY_PIXELS = "image.too_many_pixels"
    IMAGE_TOO_MANY_FRAMES = "image.too_many_frames"
    IMAGE_TOO_SMALL = "image.too_small"
    IMAGE_TOO_COSTLY = "image.too_costly"
    IMAGE_DECODER_CRASHED = "image.decoder_crashed"
    VECTOR_INVALID = "vector.invalid"
    WORKER_CRASHED = "worker.crashed"
    WORKER_FAILED = "worker.failed"
