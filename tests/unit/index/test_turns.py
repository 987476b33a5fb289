import asyncio
import threading

import pytest

from worker.index.turns import NoTurn, Turns


def test_more_than_may_wait_are_refused_and_each_client_has_a_share():
    async def run():
        turns, release = Turns(1, 3, 2), threading.Event()
        mine = [asyncio.ensure_future(turns.run("a", release.wait, 5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NoTurn):
            await turns.run("a", release.wait, 5)
        other = asyncio.ensure_future(turns.run("b", release.wait, 5))
        await asyncio.sleep(0)
        with pytest.raises(NoTurn):
            await turns.run("c", release.wait, 5)
        release.set()
        assert await asyncio.gather(*mine, other) == [True] * 3
        assert await turns.run("a", int, "7") == 7

    asyncio.run(run())


def test_a_turn_is_given_back_where_the_work_fails():
    async def run():
        turns = Turns(1, 1, 1)
        for _ in range(3):
            with pytest.raises(ValueError, match="x"):
                await turns.run("a", int, "x")

    asyncio.run(run())
