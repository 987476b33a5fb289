"""Children that die: one image is told so, all others are decoded."""

import io
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from schemas.bundle import ImageInput
from schemas.rejection import RejectionReason
from tests import images, odd_images
from tests.hostile import faults
from worker.errors import Rejection, StageError
from worker.model.decode import ImageLimits, decode
from worker.model.decoders import DecoderLimits, DecoderPool
from worker.model.optional_formats import OptionalFormat, load_format, pillow_name

LIMITS = ImageLimits()
SIZE = ImageInput(height=96, width=128)
FAULTY = "tests.hostile.faults:decode"
ORDINARY = images.jpeg(7, 640, 480)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(2, DecoderLimits(cpu_seconds=1, wall_seconds=4), FAULTY) as started:
        yield started


def outcome(pool: DecoderPool, data: bytes) -> RejectionReason | np.ndarray:
    try:
        return pool.decode(data, [SIZE], LIMITS).pixels
    except Rejection as rejection:
        return rejection.reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.ABORT, RejectionReason.IMAGE_DECODER_CRASHED),
        (faults.KILL, RejectionReason.IMAGE_DECODER_CRASHED),
        (faults.EXIT, RejectionReason.IMAGE_DECODER_CRASHED),
        (faults.TALK, RejectionReason.IMAGE_DECODER_CRASHED),
        (faults.SPIN, RejectionReason.IMAGE_TOO_COSTLY),
        (faults.HANG, RejectionReason.IMAGE_TOO_COSTLY),
        (faults.ALLOCATE, RejectionReason.IMAGE_TOO_COSTLY),
    ],
)
def test_a_death_is_the_images_and_the_others_go_on(
    pool: DecoderPool, fault: bytes, reason: RejectionReason
) -> None:
    expected = decode(ORDINARY, 96, 128, LIMITS).pixels
    with ThreadPoolExecutor(8) as threads:
        inputs = [ORDINARY, fault, *[ORDINARY] * 20]
        outcomes = list(threads.map(lambda data: outcome(pool, data), inputs))
    assert outcomes.pop(1) is reason
    for pixels in outcomes:
        np.testing.assert_array_equal(pixels, expected)


def test_a_share_of_cpu_ends_before_the_wall_limit_does() -> None:
    with DecoderPool(1, DecoderLimits(cpu_seconds=1, wall_seconds=60), FAULTY) as pool:
        with pytest.raises(Rejection, match="1 s of CPU") as caught:
            pool.decode(faults.SPIN, [SIZE], LIMITS)
        assert caught.value.reason is RejectionReason.IMAGE_TOO_COSTLY


def test_a_bug_of_ours_is_not_the_images(pool: DecoderPool) -> None:
    with pytest.raises(StageError, match="ZeroDivisionError"):
        pool.decode(faults.BUG, [SIZE], LIMITS)
    assert outcome(pool, ORDINARY) is not None


def test_a_child_can_open_no_file_and_no_socket(pool: DecoderPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        for fault in (faults.OPEN, faults.CONNECT + b" %d" % server.getsockname()[1]):
            with pytest.raises(StageError, match="Too many open files"):
                pool.decode(fault, [SIZE], LIMITS)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("name", odd_images.SHOWN)
def test_a_child_gives_the_same_pixels_and_luminance(pool: DecoderPool, name: str) -> None:
    data = odd_images.SHOWN[name]()
    here = decode(data, 96, 128, LIMITS, luminance_side=640)
    there = pool.decode(data, [SIZE], LIMITS, luminance_side=640)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    np.testing.assert_array_equal(there.luminance, here.luminance)
    assert (there.original_width, there.original_height, there.format) == (
        here.original_width, here.original_height, here.format,
    )  # fmt: skip


@pytest.mark.parametrize("name", odd_images.DAMAGED)
def test_a_child_refuses_what_is_refused_here(pool: DecoderPool, name: str) -> None:
    assert outcome(pool, odd_images.DAMAGED[name]()) is RejectionReason.IMAGE_CORRUPT


def children() -> list[psutil.Process]:
    """This process's decoders, dead ones that nobody waited for included."""
    return [child for child in psutil.Process().children() if _is_decoder(child)]


def _is_decoder(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE or "worker.model.decoder" in " ".join(
            process.cmdline()
        )
    except psutil.NoSuchProcess:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_pool_leaves_no_process_and_no_descriptor_behind() -> None:
    before, open_before = {child.pid for child in children()}, descriptors()
    with DecoderPool(2, DecoderLimits(wall_seconds=1), FAULTY) as pool:
        assert len({child.pid for child in children()} - before) == 2
        for fault in (faults.ABORT, faults.HANG):
            outcome(pool, fault)
        outcome(pool, ORDINARY)
        ended = {child.pid for child in children()} - before
        assert len(ended) <= 2
    assert {child.pid for child in children()} <= before
    assert descriptors() == open_before


@pytest.mark.parametrize("image", [None, faults.HANG, faults.SPIN])
def test_children_end_with_a_parent_that_is_killed(image: bytes | None) -> None:
    program = (
        "import threading, time, psutil\n"
        "from schemas.bundle import ImageInput\n"
        "from worker.model.decode import ImageLimits\n"
        "from worker.model.decoders import DecoderLimits, DecoderPool\n"
        f"with DecoderPool(2, DecoderLimits(cpu_seconds=1, wall_seconds=2), {FAULTY!r}) as pool:\n"
        "    asked = [ImageInput(height=96, width=128)], ImageLimits()\n"
        f"    work = lambda: {image!r} and pool.decode({image!r}, *asked)\n"
        "    [threading.Thread(target=work, daemon=True).start() for _ in range(2)]\n"
        "    time.sleep(0.5)\n"
        "    print(*(child.pid for child in psutil.Process().children()), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "children outlive their parent"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_who_waits_for_a_child_of_a_closed_pool_is_told() -> None:
    with DecoderPool(1, DecoderLimits(wall_seconds=2), FAULTY) as pool, ThreadPoolExecutor(3) as threads:
        late = [threads.submit(outcome, pool, faults.HANG), threads.submit(outcome, pool, ORDINARY)]
        time.sleep(0.3)
        late.append(threads.submit(outcome, pool, ORDINARY))
        pool.__exit__(None, None, None)
        assert late[0].result(10) is RejectionReason.IMAGE_TOO_COSTLY
        for waiting in late[1:]:
            with pytest.raises(StageError, match="closed"):
                waiting.result(10)


def test_a_child_killed_between_two_images_costs_neither() -> None:
    before = {child.pid for child in children()}
    with DecoderPool(1, DecoderLimits()) as pool:
        expected = pool.decode(ORDINARY, [SIZE], LIMITS).pixels
        for child in children():
            if child.pid not in before:
                child.send_signal(signal.SIGKILL)
        np.testing.assert_array_equal(pool.decode(ORDINARY, [SIZE], LIMITS).pixels, expected)


def test_a_child_has_none_of_the_parents_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEKIKI_KAFKA__PASSWORD", "secret")
    with DecoderPool(1, DecoderLimits(), "tests.hostile.faults:environment") as pool:
        decoded = pool.decode(ORDINARY, [SIZE], LIMITS)
    assert "MALLOC_ARENA_MAX" in decoded.format
    assert "MEKIKI" not in decoded.format


def test_a_decoder_that_cannot_start_is_our_fault() -> None:
    before = {child.pid for child in children()}
    with pytest.raises(StageError, match="did not start"), DecoderPool(2, DecoderLimits(), "no.such:thing"):
        pass
    assert {child.pid for child in children()} <= before


def test_images_that_hold_much_take_turns_and_leave_children_to_others() -> None:
    large = odd_images.encoded(odd_images.photo(3000, 2000).convert("RGBA"), "PNG", compress_level=1)
    need = 3000 * 2000 * 8
    with DecoderPool(2, DecoderLimits(room=need)) as pool:
        waiting = []
        with pool._room.taken(need):  # as if another such image were being decoded
            threads = [
                threading.Thread(target=lambda: waiting.append(outcome(pool, large))) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            begin = time.monotonic()
            assert not waiting
            assert isinstance(outcome(pool, ORDINARY), np.ndarray)
            assert time.monotonic() - begin < 5
        for thread in threads:
            thread.join(20)
    assert len(waiting) == 4
    for pixels in waiting:
        np.testing.assert_array_equal(pixels, decode(large, 96, 128, LIMITS).pixels)


def test_memory_of_a_large_image_goes_back() -> None:
    rows = [bytes(4 * 7000)] * 7000
    large = images.png_of(7000, 7000, 8, 6, rows)
    before = {child.pid for child in children()}
    with DecoderPool(1, DecoderLimits()) as pool:
        (child,) = (child for child in children() if child.pid not in before)
        pool.decode(ORDINARY, [SIZE], LIMITS)
        idle = child.memory_info().rss
        for _ in range(3):
            assert isinstance(outcome(pool, large), np.ndarray)
        assert child.memory_info().rss - idle < 40_000_000


def large(name: OptionalFormat, side: int, **options: object) -> bytes:
    """A flat picture in a small file."""
    load_format(name)
    file = io.BytesIO()
    Image.new("RGB", (side, side), (10, 20, 30)).save(file, pillow_name(name), **options)
    return file.getvalue()


@pytest.mark.timeout(300)
def test_optional_formats_are_decoded_by_children_within_their_bounds() -> None:
    formats: tuple[OptionalFormat, ...] = ("heic", "tiff", "jxl")
    limits = ImageLimits(formats=formats)
    before = {child.pid for child in children()}
    with DecoderPool(1, DecoderLimits(formats=formats)) as pool:
        (child,) = (child for child in children() if child.pid not in before)
        for data in (
            large("heic", 3000, quality=10),
            large("jxl", 3000, effort=1),
            large("tiff", 7000, compression="tiff_deflate"),
        ):
            begin = child.cpu_times().user
            assert pool.decode(data, [SIZE], limits).original_width in {3000, 7000}
            assert child.cpu_times().user - begin < 4
        assert isinstance(outcome(pool, ORDINARY), np.ndarray)
        assert child.is_running()
