"""Compile the tag forest's kernel: `python build_kernel.py`, and the hook by which the wheel gets it.

One source is compiled for each width of registers that the machine's kind has; which one runs is chosen as
the program starts. Without a C compiler the wheel is built without the kernel, and the worker uses numba or
numpy.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "worker" / "model" / "forest"
LIBRARY = FOLDER / "libforest.so.1"
SOURCES = ("kernel.h", "kernel.c", "lanes.c")
FLAGS = ("-O3", "-fPIC", "-std=gnu11", "-Wall", "-Wextra", "-Wno-psabi")
WIDE = {
    32: ("-mavx2", "-mfma"),
    64: ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vbmi", "-mfma"),
}


def compiler() -> list[str] | None:
    """The C compiler, as $CC says or by its usual names."""
    if asked := os.environ.get("CC"):
        return shlex.split(asked)
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return None if found is None else [found]


def compile_kernel(target: Path = LIBRARY) -> bool:
    """Write the library; False where there is no C compiler.

    Raises:
        subprocess.CalledProcessError: the compiler failed.

    """
    found = compiler()
    # The image installs the dependencies before it has the sources.
    if found is None or os.name != "posix" or not (FOLDER / SOURCES[0]).is_file():
        return False
    digest = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in SOURCES)).hexdigest()
    widths: dict[int, tuple[str, ...]] = {16: ()}
    if platform.machine() in {"x86_64", "AMD64"}:
        widths |= WIDE
    with tempfile.TemporaryDirectory() as scratch:
        objects = [f"{scratch}/kernel.o"]
        subprocess.run(
            [*found, *FLAGS, f'-DSOURCE="{digest}"', "-c", str(FOLDER / "kernel.c"), "-o", objects[0]],
            check=True,
        )
        for width, flags in widths.items():
            objects.append(f"{scratch}/lanes{width}.o")
            defined = (f"-DWIDTH={width}", f"-DNAME=mekiki_forest_{width}")
            source = ("-c", str(FOLDER / "lanes.c"), "-o", objects[-1])
            subprocess.run([*found, *FLAGS, *flags, *defined, *source], check=True)
        # Replaced by a rename: a running worker keeps the one that it has mapped.
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        subprocess.run([*found, "-shared", *objects, "-o", str(temporary)], check=True)
        temporary.replace(target)
    return True


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run as a script
    pass
else:

    class KernelHook(BuildHookInterface):  # type: ignore[misc]
        """Compiles the kernel into the source tree, and takes it into the wheel."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Called by hatch before it builds; `version` is "editable" or "standard"."""
            if self.target_name != "wheel":
                return
            if not compile_kernel():
                self.app.display_warning("no C compiler: the wheel has no compiled kernel for tags")
                return
            if version != "editable":
                # No module of Python: any Python 3 on this platform loads it.
                name = f"{platform.system()}_{platform.machine()}".lower()
                build_data["tag"] = f"py3-none-{name}"
                build_data["pure_python"] = False
                build_data["artifacts"].append("worker/model/forest/libforest.so.1")


if __name__ == "__main__":
    if not compile_kernel():
        print("no C compiler (cc, gcc, clang or $CC): the worker will use numba or numpy", file=sys.stderr)  # noqa: T201
