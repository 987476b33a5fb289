"""Run the roles of a process until a signal or a failure ends them all."""

import logging
import signal
import threading
from collections.abc import Callable

from worker.compose import BuildFetcher, Process, Role, compose
from worker.settings import Settings
from worker.watchdog import Watchdog

logger = logging.getLogger(__name__)


def run_roles(settings: Settings, names: tuple[str, ...], build_fetcher: BuildFetcher) -> None:
    """Run the roles `names` until SIGTERM or SIGINT; a second signal ends the process at once.

    Raises:
        MekikiError: a role failed; the others were stopped first.

    """
    with Watchdog() as watchdog, compose(settings, names, build_fetcher, watchdog) as process:
        logger.info("running %s, http on port %d", " and ".join(names), process.port)
        _stop_on_signals(process)
        run_until_stopped(process.roles, process.end_in_time)
    logger.info("stopped")


def run_until_stopped(roles: dict[str, Role], stopping: Callable[[], object] = lambda: None) -> None:
    """Run each role in a thread of its own; when one ends, the others are stopped, and `stopping` is called.

    Raises:
        Exception: what the first failed role raised.

    """
    failures: list[BaseException] = []
    ended = threading.Event()

    def run(role: Role) -> None:
        try:
            role.run()
        except BaseException as error:  # noqa: BLE001 - raised again below
            logger.error("%s ends: %s", threading.current_thread().name, error)
            failures.append(error)
        finally:
            ended.set()

    threads = [threading.Thread(target=run, args=(role,), name=name) for name, role in roles.items()]
    for thread in threads:
        thread.start()
    ended.wait()
    stopping()
    for role in roles.values():
        role.stop()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _stop_on_signals(process: Process) -> None:
    def stop(number: int, _: object) -> None:
        process.end_in_time()
        for role in process.roles.values():
            role.stop()
        logger.info("%s: draining", signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)

    handler: Callable[[int, object], None] = stop
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
