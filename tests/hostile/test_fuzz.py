"""Files of every format, cut and overwritten at random: pixels or a typed rejection, in little time.

MEKIKI_FUZZ_FILES says how many files, MEKIKI_FUZZ_SEED which.
"""

import io
import os
import random
import time

import pytest

from schemas.rejection import RejectionReason
from tests.odd_images import DAMAGED, SHOWN, photo
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode
from worker.model.optional_formats import load_format, pillow_name

FILES = int(os.environ.get("MEKIKI_FUZZ_FILES", "3000"))
SEED = int(os.environ.get("MEKIKI_FUZZ_SEED", "1"))
# A mutation may make any size; what is larger costs more than a test should.
LIMITS = ImageLimits(max_pixels=2_000_000, formats=("heic", "tiff", "jxl"))
TELLING = {reason for reason in RejectionReason if reason.startswith("image.")} - {
    RejectionReason.IMAGE_DECODER_CRASHED
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes overwritten, mostly of the header; a part doubled or left out; or the end cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(min(len(out), chance.choice((40, 300, len(out))))) if out else 0
        kind = chance.randrange(6)
        if kind <= 2 and out:
            out[at] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        elif kind == 3:
            out[at : at + 4] = chance.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\\1")
            )
        elif kind == 4:
            del out[at : at + chance.randrange(1, 64)]
        else:
            out[at:at] = out[at : at + chance.randrange(1, 64)]
    return bytes(out[: chance.randrange(len(out) + 1)] if chance.random() < 0.2 else out)


def optional(name: str) -> bytes:
    """A small picture of an optional format."""
    load_format(name)
    file = io.BytesIO()
    options = {"compression": "tiff_lzw"} if name == "tiff" else {}
    photo(96, 64).save(file, pillow_name(name), **options)
    return file.getvalue()


@pytest.mark.timeout(3600)
def test_every_file_gives_pixels_or_a_typed_rejection() -> None:
    chance = random.Random(SEED)
    seeds = [make() for make in (SHOWN | DAMAGED).values()] + 3 * [optional(name) for name in LIMITS.formats]
    seeds = [data for data in seeds if len(data) < 40_000]
    outcomes = {"pixels": 0, "rejections": 0}
    for number in range(FILES):
        data = mutated(chance.choice(seeds), chance)
        begin = time.process_time()
        try:
            assert decode(data, 32, 32, LIMITS, luminance_side=chance.choice((None, 64))).pixels.shape == (
                32,
                32,
                3,
            )
            outcomes["pixels"] += 1
        except Rejection as rejection:
            assert rejection.reason in TELLING | {RejectionReason.SOURCE_EMPTY}  # noqa: PT017
            outcomes["rejections"] += 1
        except BaseException as error:
            raise AssertionError(f"file {number} of seed {SEED}: {error!r}") from error
        assert time.process_time() - begin < 4, f"file {number} of seed {SEED}"
    assert min(outcomes.values()) > FILES / 10, outcomes
