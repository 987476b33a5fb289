"""The same console on a real PostgreSQL: its content is that of SQLite, and leases hold."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from console.database import Database
from console.queue import Queue
from tests import events, images
from tests.console.conftest import console_of
from tests.console.http import Client
from tests.console.test_kill import content
from tests.kafka.client import wait_until
from tests.kafka.server import free_ports
from tests.workplace import Workplace
from worker.errors import ConfigurationError

_NOBODY = 65534


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database. Skips, with the reason, where PostgreSQL is not installed."""
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed, or initdb and postgres are not in the path")
    home = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        os.chown(home, _NOBODY, _NOBODY)
        for parent in home.parents[:2]:
            parent.chmod(0o755)
    data, (port,) = home / "data", free_ports(1)
    subprocess.run([*as_user, initdb, "-D", data, "-U", "mekiki", "-A", "trust", "-E", "UTF8"], check=True,
                   capture_output=True)  # fmt: skip
    command = [*as_user, server, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(home / "log").open("wb"))
    url = f"postgresql+psycopg://mekiki@127.0.0.1:{port}/postgres"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                Database(url).close()
                break
            except ConfigurationError:
                assert time.monotonic() < deadline, (home / "log").read_text()
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_postgres_holds_what_sqlite_does(band: Workplace, postgres: str, tmp_path: Path) -> None:
    topics = band.settings.topics
    with band.running("score", "index"):
        names = [f"i{n}" for n in range(20)]
        photo = images.encoded(images.photo(1, 48, 48))
        band.broker.send(topics.uploaded, [events.uploaded_bytes(name, photo) for name in names])
        band.broker.send(topics.uploaded, [events.deleted("i3")])
        band.broker.wait_until_done(band.settings.kafka.group, topics.uploaded)
        with console_of(band, tmp_path, database=postgres) as console:
            client = Client(console.url)
            wait_until(lambda: client.place_of("i1") != "", "the verdicts")
            form = {"csrf": client.csrf(), "place": client.place_of("i1"), "word": "block"}
            assert client.post("/review", form).status == 303
            wait_until(lambda: "block by local" in client.get("/why?id=i1").text, "the word to come back")
            band.broker.wait_until_done(band.settings.kafka.group, topics.uploaded)
    for url in (postgres, f"sqlite:///{tmp_path}/console.db"):
        with console_of(band, tmp_path, database=url) as console:
            assert Client(console.url).get("/review").status == 200
            assert Client(console.url).get("/try").status == 200
    assert content(postgres) == content(f"sqlite:///{tmp_path}/console.db")

    database = Database(postgres)
    queue = Queue(database, 60)
    with ThreadPoolExecutor(8) as pool:
        taken = [
            shown.event.image_id
            for part in pool.map(lambda n: queue.take(f"p{n}", 2), range(8))
            for shown in part
        ]
    database.close()
    assert len(taken) == len(set(taken)), "two people were given the same image"
