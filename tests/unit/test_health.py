"""Alive while the loop moves, ready once every condition holds."""

import time

from worker.health import CombinedHealth, Health


def test_alive_while_the_loop_moves():
    health = Health(timeout=0.05, conditions=())
    assert health.alive()[0]
    time.sleep(0.06)
    assert not health.alive()[0]
    health.beat()
    assert health.alive()[0]


def test_ready_once_every_condition_holds_and_until_one_is_withdrawn():
    health = Health(60, ("warm", "assigned"))
    health.satisfy("warm")
    assert health.ready() == (False, {"assigned": "not yet"})
    health.satisfy("assigned")
    assert health.ready() == (True, {})
    health.withdraw("running", "stopping")
    assert health.ready() == (False, {"running": "stopping"})


def test_several_roles_are_alive_and_ready_when_each_of_them_is():
    moving, stuck = Health(60, ()), Health(-1, ("caught up",))
    assert CombinedHealth({"score": moving}).alive()[0]
    alive, why = CombinedHealth({"score": moving, "index": stuck}).alive()
    assert not alive
    assert why.startswith("score: the loop turned")
    assert "; index: the loop turned" in why
    assert CombinedHealth({"score": moving, "index": stuck}).ready() == (
        False,
        {"index: caught up": "not yet"},
    )
    stuck.satisfy("caught up")
    assert CombinedHealth({"score": moving, "index": stuck}).ready() == (True, {})
