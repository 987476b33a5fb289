"""What an image may cost is judged from its size alone, at every place that reads one."""

import pytest

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.still import ImageLimits


@pytest.mark.parametrize(("width", "height"), [(1000, 1000), (1, 1_000_000), (0, 5)])
def test_pixels_up_to_the_limit_are_counted(width: int, height: int) -> None:
    assert ImageLimits(max_pixels=1_000_000).judge_pixels(width, height) == width * height


@pytest.mark.parametrize(("width", "height"), [(1000, 1001), (1_000_001, 1), (2**32 - 1, 2**32 - 1)])
def test_a_pixel_more_is_refused_with_both_sides_and_the_limit(width: int, height: int) -> None:
    with pytest.raises(Rejection) as refused:
        ImageLimits(max_pixels=1_000_000).judge_pixels(width, height, "a frame")
    assert refused.value.reason is RejectionReason.IMAGE_TOO_MANY_PIXELS
    assert refused.value.detail == f"a frame of {width} x {height} pixels: the limit is 1000000"
