import pytest

from worker.index.ngt.checksums import Damaged, check_files, digest_of, list_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    (tmp_path / "inner" / "b").write_bytes(b"")
    return tmp_path


def test_what_was_listed_holds(folder):
    files = list_files(folder)
    assert [(file.path, file.bytes) for file in files] == [("a", 3000), ("inner/b", 0)]
    assert files[0].blake3 == digest_of(b"abc" * 1000)
    check_files(folder, files)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "grown"])
def test_every_damage_is_found(folder, damage):
    files, file = list_files(folder), folder / "a"
    raw = bytearray(file.read_bytes())
    if damage == "flipped":
        raw[1500] ^= 1
    file.write_bytes(raw[:10] if damage == "truncated" else raw + b"x" * (damage == "grown"))
    if damage == "missing":
        file.unlink()
    with pytest.raises(Damaged, match="/a"):
        check_files(folder, files)
