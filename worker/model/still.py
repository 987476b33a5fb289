"""Still: the one picture of a file that is judged, settled from the bytes before a pixel is decoded."""

from dataclasses import dataclass

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.colour import PLAIN, Colours

# The share of a picture that may be made up where a file lacks its end: it is not seen.
MADE_UP = 0.005


@dataclass(frozen=True)
class ImageLimits:
    """What an image may cost to decode, and which optional formats it may have."""

    max_pixels: int = 50_000_000
    max_frames: int = 100
    min_side: int = 8
    formats: tuple[str, ...] = ()

    def judge_pixels(self, width: int, height: int, what: str = "an image") -> int:
        """The number of pixels of `what`.

        Raises:
            Rejection: there are too many.

        """
        if width * height > self.max_pixels:
            raise Rejection(
                RejectionReason.IMAGE_TOO_MANY_PIXELS,
                f"{what} of {width} x {height} pixels: the limit is {self.max_pixels}",
            )
        return width * height


@dataclass(frozen=True)
class Still:
    """The frame that a browser shows first, as a file of its own that Pillow decodes.

    What a file may hold beside it (texts, thumbnails, later frames, a profile) is left out of `data`.
    `canvas` is the picture's (width, height) where its header was read here, and `offset` where the frame
    lies on it, (0, 0) where it covers it; the rest of the canvas is transparent. `frames` are counted no
    further than one past the limit. `exif` is a TIFF structure, with or without its "Exif" preamble.
    `pixel_bytes` is what the decoder and its steps hold at once for one pixel, `extra_bytes` what they
    hold beside that, in bytes. `ends` are files to decode in place of `data` where the file lacks its
    last bytes, each with others made up.
    """

    data: bytes
    canvas: tuple[int, int] | None = None
    offset: tuple[int, int] = (0, 0)
    frames: int = 1
    exif: bytes | None = None
    colours: Colours = PLAIN
    pixel_bytes: int = 4
    extra_bytes: int = 0
    ends: tuple[bytes, ...] = ()
