#!/bin/sh
# Build an OpenTelemetry Collector (OTLP in, OTLP out) into a cache, once, and print its path.
# Usage: install.sh DIR. Needs go.
set -eu

VERSION=0.165.0

here=$(cd "$(dirname "$0")" && pwd)
target="$1/otel-collector-$VERSION"
if [ ! -x "$target/collector" ]; then
    command -v go >/dev/null || { echo "install.sh: there is no go: install Go 1.26 or newer" >&2; exit 1; }
    echo "building an OpenTelemetry Collector $VERSION (a few minutes, once)" >&2
    mkdir -p "$1"
    # Beside its place and renamed: a run that is cut off leaves no half of it.
    scratch=$(mktemp -d "$1/.install-XXXXXX")
    trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT
    (cd "$scratch" && CGO_ENABLED=0 nice -n 10 go run "go.opentelemetry.io/collector/cmd/builder@v$VERSION" \
        --config "$here/collector.yaml" --verbose >build.log 2>&1) || { cat "$scratch/build.log" >&2; exit 1; }
    rm -rf "$target" && mkdir "$target" && mv "$scratch/built/collector" "$target/collector"
fi
echo "$target/collector"
