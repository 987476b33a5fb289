# Every target does all the set-up that it needs on a fresh machine with Python 3.11 (and, for the
# tests, a JDK with Maven). Environments: .venv serves and tests; .venv-train holds torch as well.

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
TRAIN_VENV := .venv-train
BENCH_VENVS := .venv-bench
DEMO_FLAGS ?=
TEST_FLAGS ?=
# Files share nothing, and have a Kafka of their own; a file's tests stay together, since they share what is drawn and
# loaded.
SIDE_BY_SIDE := -n 2 --dist loadfile

.PHONY: help demo test test-unit test-integration test-hostile test-fuzz test-chaos test-export lint types schemas docs lock clean train-setup kernel bench bench-gpu bench-growth bench-load bench-tags bench-policy bench-shadow test-console bench-console bench-index bench-runbook test-chaos-index test-minio test-oci test-registry lock-hashes sbom

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.serve ## watch images being judged; leaves out/report.html
	$(VENV)/bin/mekiki demo $(DEMO_FLAGS)

test: $(VENV)/.dev ## unit tests, hostile images, then integration tests on a real Apache Kafka
	$(VENV)/bin/python -m pytest tests/unit $(SIDE_BY_SIDE) $(TEST_FLAGS)
	$(VENV)/bin/python -m pytest tests/hostile $(TEST_FLAGS)
	$(VENV)/bin/python -m pytest tests/integration $(SIDE_BY_SIDE) $(TEST_FLAGS)

test-unit: $(VENV)/.dev ## unit tests alone, in seconds
	$(VENV)/bin/python -m pytest tests/unit $(SIDE_BY_SIDE) $(TEST_FLAGS)

test-integration: $(VENV)/.dev ## tests on a real Apache Kafka
	$(VENV)/bin/python -m pytest tests/integration $(SIDE_BY_SIDE) $(TEST_FLAGS)

test-hostile: $(VENV)/.dev ## images made to cost, and decoders that die: docs/security.md
	$(VENV)/bin/python -m pytest tests/hostile $(TEST_FLAGS)

test-fuzz: $(VENV)/.dev ## a million events, manifests and searches that are nearly right
	MEKIKI_FUZZ_INPUTS=1000000 $(VENV)/bin/python -m pytest tests/hostile/test_fuzz_inputs.py -s $(TEST_FLAGS)

test-chaos: $(VENV)/.dev ## kill workers and the broker under load; MEKIKI_CHAOS_SEED repeats a run
	$(VENV)/bin/python -m pytest tests/chaos -m chaos -s $(TEST_FLAGS)

test-chaos-index: $(VENV)/.dev ## kill the index 200 times and damage 50 files; MEKIKI_CHAOS_SEED repeats a run
	$(VENV)/bin/python -m pytest tests/chaos/test_index.py -m chaos -s $(TEST_FLAGS)

test-export: $(TRAIN_VENV)/.train ## tests of training and export (torch, 5 GB)
	env -u PYTHONDONTWRITEBYTECODE $(TRAIN_VENV)/bin/python -m pytest tests/export $(TEST_FLAGS) # torch: 5 s an import
	$(TRAIN_VENV)/bin/mypy export

.PHONY: test-large
test-large: $(TRAIN_VENV)/.train ## tables of labels and a click log of 2 GB each, in bounded memory (minutes)
	MEKIKI_LARGE_BYTES=2000000000 $(TRAIN_VENV)/bin/python -m pytest tests/export -k a_large --timeout 1800 --durations 4 $(TEST_FLAGS)

test-console: $(VENV)/.dev ## the console on a real Kafka, in Chromium where it is installed, with axe-core where npm is
	@test -f out/axe/node_modules/axe-core/axe.min.js || \
	    npm install --silent --no-save --prefix out/axe axe-core@4.14.1 || echo "without axe-core"
	MEKIKI_AXE=out/axe/node_modules/axe-core/axe.min.js $(VENV)/bin/python -m pytest tests/console --timeout 600 -s $(TEST_FLAGS)

test-minio: $(VENV)/.dev ## a private bucket of a real MinIO, which is built once (Go, minutes); MEKIKI_NOTIFICATIONS: how many
	$(VENV)/bin/uv pip install -q -p $(VENV) -c constraints.txt minio==7.2.20
	MEKIKI_MINIO=$$(sh tests/minio/install.sh $(HELM_TOOLS)) \
	    $(VENV)/bin/python -m pytest tests/minio --timeout 900 -s $(TEST_FLAGS)

test-oci: $(VENV)/.dev ## bundles of a real registry and a real MLflow, signed by OpenSSF's model_signing (Go, minutes, 1 GB)
	MEKIKI_OCI=$$(sh tests/oci/install.sh $(HELM_TOOLS) $(VENV)/bin/uv) \
	    $(VENV)/bin/python -m pytest tests/oci --timeout 600 -s $(TEST_FLAGS)

test-registry: $(VENV)/.dev ## Avro and JSON Schema by a real Apicurio Registry (Maven, Java 21 or newer)
	MEKIKI_REGISTRY=$$(sh tests/registry/install.sh $(HELM_TOOLS)) \
	    $(VENV)/bin/python -m pytest tests/registry -s $(TEST_FLAGS)

.PHONY: test-otel
test-otel: $(VENV)/.dev ## spans through a real OpenTelemetry Collector, which is built once (Go, minutes)
	MEKIKI_COLLECTOR=$$(sh tests/otel/install.sh $(HELM_TOOLS)) \
	    $(VENV)/bin/python -m pytest tests/otel -s $(TEST_FLAGS)

.PHONY: test-vald
test-vald: $(VENV)/.dev ## the index in a real Vald, which is built once (Go, Rust's cargo, cmake, minutes)
	MEKIKI_VALD=$$(sh tests/vald/install.sh $(HELM_TOOLS)) \
	    $(VENV)/bin/python -m pytest tests/vald --timeout 600 -s $(TEST_FLAGS)

bench-console: $(VENV)/.dev ## the console's pages over 1,000,000 verdicts
	$(VENV)/bin/python -m benchmarks.console

bench: $(VENV)/.dev $(BENCH_VENVS)/.installed ## images a second, Kafka to Kafka, beside the limit, Quix Streams and Arroyo
	$(VENV)/bin/python -m benchmarks.pipeline $(BENCH_FLAGS)
	$(BENCH_VENVS)/plot/bin/python -m benchmarks.pipeline_plot

bench-gpu: $(VENV)/.dev ## a worker on a GPU beside decoding alone and the model alone; BENCH_FLAGS="--provider cpu": a dry run
	$(VENV)/bin/python -m benchmarks.gpu $(BENCH_FLAGS)

bench-load: $(VENV)/.dev ## memory, lag and latency for 15 minutes at nine tenths of what a worker can, and at twice that
	$(VENV)/bin/python -m benchmarks.load $(BENCH_FLAGS)

bench-growth: $(VENV)/.dev $(BENCH_VENVS)/.installed ## the rate against image size, batch, partitions, workers and repeats
	$(VENV)/bin/python -m benchmarks.growth $(BENCH_FLAGS)
	$(BENCH_VENVS)/plot/bin/python -m benchmarks.growth_plot

bench-index: $(VENV)/.dev ## what the index keeps up with, beside bare NGT
	$(VENV)/bin/python -m benchmarks.index $(BENCH_FLAGS)

bench-runbook: $(VENV)/.dev $(BENCH_VENVS)/.installed $(BENCH_VENVS)/hnswlib/.installed ## the index while vectors come, go and come back, beside hnswlib
	$(VENV)/bin/python -m benchmarks.runbook $(BENCH_FLAGS)
	$(BENCH_VENVS)/plot/bin/python -m benchmarks.runbook_plot

bench-policy: $(VENV)/.dev ## mekiki policy diff over 1,000,000 verdicts on a real Kafka
	$(VENV)/bin/python -m benchmarks.policy_diff

bench-shadow: $(VENV)/.dev ## what a shadow at 100 % costs the stream, on a real Kafka
	$(VENV)/bin/python -m benchmarks.shadow

lint: $(VENV)/.dev ## ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.dev ## mypy --strict
	$(VENV)/bin/mypy worker schemas console docs

schemas: $(VENV)/.dev ## write JSON Schema and AsyncAPI from the models
	$(VENV)/bin/python -m schemas.generate

docs: $(VENV)/.dev ## write docs/configuration.md from the settings
	$(VENV)/bin/python -m docs.generate

LOCK := $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate

lock: $(VENV)/.dev ## pin the newest versions that fit pyproject.toml in constraints.txt, then as lock-hashes
	$(LOCK) --upgrade --extra cpu --extra train --extra dev pyproject.toml -o constraints.txt
	$(MAKE) lock-hashes

IMAGE_EXTRAS := codes formats console console-postgres otel registry signatures vald
HASHES := $(LOCK) --generate-hashes -c constraints.txt

lock-hashes: $(VENV)/.dev ## what the images hold, with hashes, at the versions of constraints.txt: locks/
	$(HASHES) $(IMAGE_EXTRAS:%=--extra %) --extra cpu pyproject.toml -o locks/cpu.txt
	@# The CUDA and cuDNN that ONNX Runtime was built with. Tags stay on the CPU, which spares NCCL.
	sed -n 's/^onnxruntime==\([^ ;]*\).*/onnxruntime-gpu[cuda,cudnn]==\1\nxgboost-cpu/p' constraints.txt | \
	    $(HASHES) $(IMAGE_EXTRAS:%=--extra %) pyproject.toml - -o locks/cuda.txt
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(HASHES) - -o locks/build.txt

SBOM := out/sbom
CYCLONEDX := cyclonedx-bom==7.5.0
cyclonedx = $(SBOM)/cyclonedx/bin/cyclonedx-py $(1) --pyproject pyproject.toml --mc-type application \
    --spec-version 1.6 --output-reproducible -o $(SBOM)/$(2)

sbom: $(VENV)/.dev ## CycloneDX of the wheel and of the Python of both images, into out/sbom
	rm -rf $(SBOM)
	for name in cyclonedx build wheel cpu; do $(VENV)/bin/uv venv -q -p $(PYTHON) $(SBOM)/$$name; done
	$(VENV)/bin/uv pip install -q -p $(SBOM)/cyclonedx $(CYCLONEDX)
	$(VENV)/bin/uv pip install -q -p $(SBOM)/build --require-hashes -r locks/build.txt
	$(VENV)/bin/uv build -q --wheel --no-build-isolation -p $(SBOM)/build -o $(SBOM)
	$(VENV)/bin/uv pip install -q -p $(SBOM)/wheel -c constraints.txt $(SBOM)/*.whl
	$(VENV)/bin/uv pip install -q -p $(SBOM)/cpu --require-hashes -r locks/cpu.txt
	$(VENV)/bin/uv pip install -q -p $(SBOM)/cpu --no-deps $(SBOM)/*.whl
	$(call cyclonedx,environment,wheel.cdx.json) $(SBOM)/wheel/bin/python
	$(call cyclonedx,environment,image-cpu.cdx.json) $(SBOM)/cpu/bin/python
	$(call cyclonedx,requirements,image-cuda.cdx.json) locks/cuda.txt

kernel: $(VENV)/.serve ## compile the kernel of the tag forest, where there is a C compiler
	$(VENV)/bin/python build_kernel.py

bench-tags: $(TRAIN_VENV)/.train kernel ## images a second of 30,000 tags: the forest, one booster a tag, XGBoost itself
	$(TRAIN_VENV)/bin/python -m benchmarks.tags $(BENCH_FLAGS)

train-setup: $(TRAIN_VENV)/.train ## the environment for training

clean: ## remove environments and outputs
	rm -rf $(VENV) $(TRAIN_VENV) out runs

KERNEL := build_kernel.py $(wildcard worker/model/forest/*.[ch])

$(VENV)/.serve: pyproject.toml constraints.txt $(KERNEL)
	$(call install,$(VENV),cpu$(comma)console)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(KERNEL)
	$(call install,$(VENV),cpu$(comma)console$(comma)dev)
	@touch $@ $(VENV)/.serve

# What the pipeline is measured beside wants packages of its own.
$(BENCH_VENVS)/.installed: $(VENV)/.dev benchmarks/peers/quix.txt benchmarks/peers/arroyo.txt
	for peer in quix arroyo plot; do $(VENV)/bin/uv venv -q --clear -p $(PYTHON) $(BENCH_VENVS)/$$peer; done
	$(VENV)/bin/uv pip install -q -p $(BENCH_VENVS)/quix -r benchmarks/peers/quix.txt
	$(VENV)/bin/uv pip install -q -p $(BENCH_VENVS)/arroyo -r benchmarks/peers/arroyo.txt
	$(VENV)/bin/uv pip install -q -p $(BENCH_VENVS)/plot -c constraints.txt matplotlib
	@touch $@

# What the index is measured beside is compiled, by a C++ compiler.
$(BENCH_VENVS)/hnswlib/.installed: $(VENV)/.dev benchmarks/peers/hnswlib.txt
	$(VENV)/bin/uv venv -q --clear -p $(PYTHON) $(BENCH_VENVS)/hnswlib
	$(VENV)/bin/uv pip install -q -p $(BENCH_VENVS)/hnswlib -r benchmarks/peers/hnswlib.txt
	@touch $@

# The text detector that the filter is measured beside: python -m benchmarks.text_detector
$(BENCH_VENVS)/rapidocr/.installed: $(VENV)/.dev benchmarks/peers/rapidocr.txt
	$(VENV)/bin/uv venv -q --clear -p $(PYTHON) $(BENCH_VENVS)/rapidocr
	$(VENV)/bin/uv pip install -q -p $(BENCH_VENVS)/rapidocr -r benchmarks/peers/rapidocr.txt
	@touch $@

$(TRAIN_VENV)/.train: pyproject.toml constraints.txt
	$(call install,$(TRAIN_VENV),cpu$(comma)dev$(comma)train)
	@touch $@

comma := ,
define install
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@test -x $(1)/bin/uv || $(1)/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	$(1)/bin/uv pip install -q -p $(1) -c constraints.txt -e '.[$(2)]'
endef

-include helm/Makefile.inc
