"""The filter beside a text detector: where scores are cut, what the table says, what the filter is asked."""

import sys

import numpy as np
import pytest

from benchmarks.text_detector import Score, detected, drawn, filtered, found_at, table
from tests import images


def score(notices, products):
    return Score("own", np.array(notices, float), np.array(products, float), [1.0, 3.0, 2.0])


def test_a_score_is_cut_where_no_more_products_lie_over_it_than_allowed():
    own = score([0.2, 0.5, 0.95, 2.0], [0.9, 0.4, 0.1, 0.0])
    assert found_at(own, 0.003) == 0.5  # over the highest product
    assert found_at(own, 0.25) == 0.75  # one may be flagged
    assert found_at(score([0, 0, 3], [0, 0, 0, 0]), 0.05) == pytest.approx(1 / 3)  # ties are not found


def test_the_table_tells_sizes_shares_and_the_median_cost():
    said = table([score([0.2, 2.0], [0.9, 0.4])])
    assert "2 notices, 2 products" in said
    assert "| own | 50.0% | 50.0% | 50.0% | 2.0 |" in said


def test_the_filter_is_asked_as_it_serves_and_the_sample_is_the_same_each_time(tmp_path):
    for seed in range(6):
        (tmp_path / f"{seed}.jpg").write_bytes(images.jpeg(seed))
    paths = drawn(str(tmp_path), 4, seed=1)
    assert paths == drawn(str(tmp_path), 4, seed=1)
    assert len(paths) == 4
    found = filtered(paths[:1], paths[1:])
    assert found.notices.shape == (1,)
    assert found.products.shape == (3,)
    assert (found.products < 0.5).all()
    assert min(found.milliseconds) > 0


def test_the_detectors_lines_are_read_in_the_order_of_the_images(tmp_path):
    """A peer that tells the length of each path stands in for it: it has an environment of its own."""
    peer = tmp_path / "python"
    peer.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "for line in sys.stdin:\n"
        "    size = len(line.strip())\n"
        "    print(json.dumps({'boxes': size, 'area': size / 10, 'milliseconds': 1.0}))\n"
    )
    peer.chmod(0o755)
    area, boxes = detected(peer, [tmp_path / "a", tmp_path / "bb"], [tmp_path / "ccc"])
    base = len(str(tmp_path)) + 1
    assert boxes.notices.tolist() == [base + 1, base + 2]
    assert boxes.products.tolist() == [base + 3]
    np.testing.assert_allclose(area.products, (base + 3) / 10)
