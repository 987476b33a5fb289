import os
import subprocess
import sys

import pytest

from worker.errors import IndexDirectoryError
from worker.index.owner import OwnerLock


def test_a_second_owner_is_refused_by_name_of_the_first(tmp_path):
    with OwnerLock(tmp_path / "index"), pytest.raises(IndexDirectoryError) as caught:
        OwnerLock(tmp_path / "index")
    assert f"process {os.getpid()}" in str(caught.value)
    assert "index.directory" in str(caught.value)


def test_a_released_directory_may_be_owned_again(tmp_path):
    lock = OwnerLock(tmp_path)
    lock.release()
    lock.release()
    with OwnerLock(tmp_path), pytest.raises(IndexDirectoryError):
        OwnerLock(tmp_path)


def test_a_killed_owner_leaves_no_lock(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from worker.index.owner import OwnerLock\n"
        "lock = OwnerLock(Path(sys.argv[1])); print('owned', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout.readline() == b"owned\n"
        with pytest.raises(IndexDirectoryError, match=f"process {owner.pid}"):
            OwnerLock(tmp_path)
        owner.kill()
    OwnerLock(tmp_path).release()


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(IndexDirectoryError, match="cannot be used"):
        OwnerLock(tmp_path / "file" / "index")
