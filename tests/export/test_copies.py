"""Copies: splits keep them together, and the evaluation counts what it should."""

import json

import numpy as np
import pytest

from export.copies.evaluation import Compared, Comparison, false_pairs, rows, threshold
from export.copies.find import find_copies
from export.copies.together import keep_copies_together, keep_together, read_copies
from export.data import Columns, parse_source, read_sources, split_by_group
from export.errors import DatasetError
from tests import images
from worker.commands import find_duplicates
from worker.duplicates.local_features import Alignment
from worker.settings import STARTER_BUNDLE, Settings


def written(tmp_path, count=12):
    """Drawn photos, the first of them once more at another quality and once more as it is."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(count):
        (folder / f"{seed}.jpg").write_bytes(images.jpeg(seed))
    (folder / "again.jpg").write_bytes(images.encoded(images.photo(0), quality=60))
    (folder / "zero.jpg").write_bytes(images.jpeg(0))
    return folder


def test_copies_that_duplicates_found_are_in_one_part_of_a_split(tmp_path):
    folder, out = written(tmp_path), tmp_path / "pairs.jsonl"
    find_duplicates(Settings(), folder, out, None, lambda _: None)
    whole = read_sources([parse_source(str(folder))], Columns())
    joined = keep_together(whole, read_copies([str(out)]))
    groups = {example.name: example.group for example in joined.examples}
    assert groups["0.jpg"] == groups["again.jpg"] == groups["zero.jpg"] == "0.jpg"
    assert len(set(groups.values())) == 12
    for salt in map(str, range(20)):
        parts = split_by_group(joined, {"train": 1, "test": 1}, salt)
        holding = [n for n, p in parts.items() if any(e.group == "0.jpg" for e in p.examples)]
        assert len(holding) == 1


def test_a_training_finds_copies_itself_and_leaves_broken_files_to_the_decoder(tmp_path):
    folder = written(tmp_path)
    (folder / "broken.jpg").write_bytes(images.jpeg(0)[:40])
    joined = keep_copies_together(read_sources([parse_source(str(folder))], Columns()), ["find"])
    groups = {example.name: example.group for example in joined.examples}
    assert groups["0.jpg"] == groups["again.jpg"] == groups["zero.jpg"] == "0.jpg"
    assert len(set(groups.values())) == 13


def test_looking_for_copies_ends_when_its_time_is_over(tmp_path, capsys):
    whole = read_sources([parse_source(str(written(tmp_path)))], Columns())
    assert find_copies(whole, seconds=-1) == []
    assert "pairs were not compared in -1 s and stay apart" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", '{"type": "run"}', '{"folder": "/x"}\n{"type": 1}x']
)
def test_what_is_no_output_of_duplicates_is_refused_by_name(tmp_path, content):
    file = tmp_path / "pairs.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DatasetError, match=r"pairs\.jsonl is no output"):
        read_copies([str(file)])


def test_groups_of_other_folders_join_nothing(tmp_path):
    folder, out = written(tmp_path), tmp_path / "pairs.jsonl"
    lines = [{"type": "run", "folder": "/elsewhere"}, {"type": "group", "paths": ["0.jpg", "1.jpg"]}]
    out.write_text("\n".join(map(json.dumps, lines)))
    whole = read_sources([parse_source(str(folder))], Columns())
    assert keep_together(whole, read_copies([str(out)])) == whole


def seen(agreement):
    return Alignment(agreement, 1.0, 50)


def test_false_pairs_set_the_cut_and_rows_count_the_copies_over_it():
    """Two copies of ten photos: 18 false pairs, of which one in ten is one."""
    compared = [
        Compared("cut", 0, 0, seen(0.9)), Compared("cut", 1, 1, seen(0.65)),
        Compared("cut", 0, 3, seen(0.8)), Compared("cut", 1, 4, seen(0.7)),
    ]  # fmt: skip
    near = np.full((2, 10), 0.2, np.float32)
    near[0, 0] = near[1, 2] = 0.9
    found = Comparison(compared, [0, 1], {"cut": near})
    assert found.pairs == 18
    assert 0.7 < threshold(found, 0.1) < 0.71
    (row,) = rows(found, 0.1)
    assert (row.by_vector, row.among_candidates, row.at_false_rate, row.as_served) == (0.5, 1.0, 0.5, 1.0)
    assert false_pairs(found) == (2, 18)


def test_the_command_finds_copies_of_drawn_photos(tmp_path, capsys):
    from export import cli

    folder = written(tmp_path)
    for name in ("again.jpg", "zero.jpg"):
        (folder / name).unlink()
    arguments = ["evaluate", "copies", "--images", folder, "--bundle", STARTER_BUNDLE, "--queries", 3]
    assert cli.main([*map(str, arguments), "--threads", "1"]) == 0
    mean = next(line for line in capsys.readouterr().out.splitlines() if "**mean**" in line)
    among = float(mean.split("|")[3])
    assert among == 1.0
