from worker.index.ngt.merging import FANOUT, MAX_IMAGES, plan


def test_as_many_of_a_size_make_one_of_the_next():
    assert plan([]) is None
    assert plan([(8000, 8000)] * (FANOUT - 1)) is None
    assert plan([(8000, 8000)] * FANOUT) == list(range(FANOUT))
    assert plan([(130_000, 130_000), *[(8000, 8000)] * FANOUT]) == [1, 2, 3, 4]


def test_the_largest_are_left_alone():
    assert plan([(MAX_IMAGES, MAX_IMAGES)] * 20) is None


def test_one_of_which_much_counts_no_more_is_written_anew():
    assert plan([(7000, 8000)]) is None
    assert plan([(MAX_IMAGES, MAX_IMAGES), (5000, 8000)]) == [1]
    assert plan([(0, 8000)]) == [0]
    others = [(8000, 8000)] * FANOUT
    assert plan([*others, (5000, 8000)]) == [0, 1, 2, 3]
    assert plan([*others, (3000, 8000)]) == [4], "the less of it counts, the sooner"


def test_appending_moves_each_image_a_few_times_however_many_there_are():
    for total in (400_000, 1_600_000):
        sizes, moved = [], 0
        for _ in range(total // 8000):
            sizes.append(8000)
            while (chosen := plan([(size, size) for size in sizes])) is not None:
                merged = sum(sizes[place] for place in chosen)
                sizes = [size for place, size in enumerate(sizes) if place not in chosen] + [merged]
                moved += merged
        assert moved / total <= 2.0
        assert len(sizes) <= total / (MAX_IMAGES / 2) + 2 * FANOUT
        assert max(sizes) <= MAX_IMAGES
