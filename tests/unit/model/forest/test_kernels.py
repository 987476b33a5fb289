"""The compiled kernel where there is one, else what needs no C compiler; never a library of other sources."""

import shutil

import pytest

from build_kernel import compiler
from worker.errors import BundleError
from worker.model.forest import compiled, kernels
from worker.model.forest.compiled import CompiledKernel


def test_a_machine_with_a_compiler_runs_the_compiled_kernel():
    if compiler() is None:
        pytest.skip("no C compiler")
    assert compiled.LIBRARY.exists(), "run `make kernel`"
    assert kernels.choose_kernel(1).name in {"plain", "avx2", "avx512"}


def test_without_it_numpy_runs(monkeypatch, tmp_path):
    def missing():
        return CompiledKernel(library=tmp_path / "libforest.so.1")

    monkeypatch.setattr(kernels, "CompiledKernel", missing)
    assert kernels.choose_kernel(1).name == "numpy"


def test_a_library_of_other_sources_is_not_run(monkeypatch, tmp_path):
    if compiler() is None:
        pytest.skip("no C compiler")
    for name in compiled.SOURCES:
        shutil.copy(compiled.HERE / name, tmp_path)
    (tmp_path / "kernel.h").write_text("/* another */")
    monkeypatch.setattr(compiled, "HERE", tmp_path)
    with pytest.raises(BundleError, match="other sources: run `make kernel`"):
        CompiledKernel()


def test_registers_that_the_machine_lacks_are_refused():
    with pytest.raises(BundleError, match="128 bytes"):
        CompiledKernel(128)
