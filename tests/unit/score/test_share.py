"""Which images a trial sees."""

from worker.score.share import in_share

PINNED = [True, True, True, True, True, True, True, True]
IDS = [f"image-{number}" for number in range(4000)]


def seen(share, trial="shadow"):
    return {image_id for image_id in IDS if in_share(image_id, share, trial)}


def test_a_share_is_about_as_large_as_it_says_and_always_the_same():
    assert abs(len(seen(0.25)) / len(IDS) - 0.25) < 0.03
    assert seen(0.25) == seen(0.25)
    assert seen(1.0) == set(IDS)
    # Pinned: another hash would move images between workers of two versions.
    assert [in_share(image_id, 0.5, "shadow") for image_id in IDS[:8]] == PINNED


def test_a_larger_share_holds_the_smaller_and_two_trials_are_apart():
    assert seen(0.1) < seen(0.3)
    both = len(seen(0.5) & seen(0.5, "canary"))
    assert abs(both / len(IDS) - 0.25) < 0.03
