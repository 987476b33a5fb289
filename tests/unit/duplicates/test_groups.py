"""What hangs together by pairs."""

from worker.duplicates.groups import Groups


def test_pairs_that_share_an_item_are_one_group():
    groups = Groups([("a", "b"), ("c", "d"), ("d", "a"), ("e", "f")])
    assert [sorted(group) for group in groups.members()] == [["a", "b", "c", "d"], ["e", "f"]]
    assert groups.together("b", "c")
    assert not groups.together("a", "e")


def test_an_item_that_was_never_joined_is_alone():
    groups = Groups([("a", "a")])
    assert groups.of("z") == "z"
    assert groups.members() == []


def test_a_long_chain_is_followed():
    groups = Groups((i + 1, i) for i in range(20_000))
    assert groups.together(0, 20_000)
    assert len(groups.members()) == 1
