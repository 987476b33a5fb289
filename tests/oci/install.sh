#!/bin/sh
# Build and fetch what bundles are kept and signed with, once (some minutes, 1 GB), and print their folder:
# the CNCF's registry, oras, an MLflow server, and OpenSSF's model_signing, these two in environments of their own.
# Usage: install.sh DIR UV. Needs go.
set -eu

REGISTRY=3.1.1
ORAS=1.3.1
MLFLOW=3.17.2
MODEL_SIGNING=1.1.1

cache=$1
uv=$2
target="$cache/bundles-$REGISTRY-$ORAS-$MLFLOW-$MODEL_SIGNING"
if [ ! -d "$target/bin" ]; then # made last
    command -v go >/dev/null || { echo "install.sh: there is no go: install Go 1.26 or newer" >&2; exit 1; }
    echo "building a registry and oras, fetching MLflow and model_signing (some minutes, once)" >&2
    mkdir -p "$cache"
    # Beside its place and renamed: a run that is cut off leaves no whole of it.
    scratch=$(mktemp -d "$cache/.install-XXXXXX")
    trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT
    export GOBIN="$scratch/bin"
    nice -n 10 go install "github.com/distribution/distribution/v3/cmd/registry@v$REGISTRY"
    nice -n 10 go install "oras.land/oras/cmd/oras@v$ORAS"
    rm -rf "$target" && mkdir "$target"
    for name in mlflow signing; do
        "$uv" venv -q -p 3.11 "$target/$name"
    done
    "$uv" pip install -q -p "$target/mlflow" "mlflow[auth]==$MLFLOW" >&2
    "$uv" pip install -q -p "$target/signing" "model-signing==$MODEL_SIGNING" pyopenssl >&2
    mv "$scratch/bin" "$target/bin"
fi
echo "$target"
