#!/bin/sh
# Build MinIO into a cache, once (some minutes; a test server, AGPL, never a dependency), and print its path.
# Usage: install.sh DIR. Needs go.
set -eu

VERSION=0.0.0-20260212201848-7aac2a2c5b7c

cache=$1
target="$cache/minio-$VERSION"
if [ ! -x "$target/bin/minio" ]; then
    command -v go >/dev/null || { echo "install.sh: there is no go: install Go 1.26 or newer" >&2; exit 1; }
    echo "building MinIO $VERSION (a few minutes, once)" >&2
    mkdir -p "$cache"
    # Beside its place and renamed: a run that is cut off leaves no half of it.
    scratch=$(mktemp -d "$cache/.install-XXXXXX")
    trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT
    GOBIN="$scratch/bin" nice -n 10 go install "github.com/minio/minio@v$VERSION"
    rm -rf "$target" && mkdir "$target" && mv "$scratch/bin" "$target/bin"
fi
echo "$target/bin/minio"
