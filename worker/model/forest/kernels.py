"""Which kernel runs here: the compiled one, else numba for many trees, else numpy."""

import logging

from worker.errors import BundleError
from worker.model.forest.answers import Kernel
from worker.model.forest.bits import BitsKernel
from worker.model.forest.compiled import CompiledKernel

logger = logging.getLogger(__name__)

# What numba takes to compile, numpy needs for so many trees in a hundred batches.
_WORTH_COMPILING = 50_000


def choose_kernel(trees: int) -> Kernel:
    """The fastest kernel that this installation has for a forest of so many trees."""
    try:
        return CompiledKernel()
    except BundleError as error:
        logger.info("%s; going on without", error)
    if trees >= _WORTH_COMPILING:
        try:
            from worker.model.forest.jit import JitKernel  # noqa: PLC0415 - numba takes a second to import
        except ModuleNotFoundError as error:
            logger.warning(
                "tags of %d trees in numpy, which is slow: install a C compiler and run `make kernel`, or "
                "pip install 'mekiki[jit]' (%s)", trees, error,
            )  # fmt: skip
        else:
            return JitKernel()
    return BitsKernel()
