#!/bin/sh
# Build the image with docker where an engine answers, else with buildah.
# Usage: build-image.sh cpu|cuda NAME:TAG
# MEKIKI_IMAGE_BASE names another base than Debian's slim image; MEKIKI_BUILD_FLAGS is passed on (mirrors, certificates).
set -eu

variant=$1
name=$2
base=${MEKIKI_IMAGE_BASE:-docker.io/library/debian:bookworm-slim}
flags=${MEKIKI_BUILD_FLAGS:-}

if docker info >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # several flags in one variable
    exec docker build $flags --build-arg "BASE=$base" --build-arg "VARIANT=$variant" -t "$name" .
fi
command -v buildah >/dev/null || {
    echo "build-image.sh: neither a docker engine nor buildah is here: install one, such as Debian's package buildah" >&2
    exit 1
}
# Without a runtime of containers, steps run in a chroot.
command -v runc >/dev/null || command -v crun >/dev/null || export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
# OCI's own format has no HEALTHCHECK.
# shellcheck disable=SC2086
buildah bud --format docker $flags --build-arg "BASE=$base" --build-arg "VARIANT=$variant" -t "$name" .
echo "$name: $(buildah images --format '{{.Size}}' "$name")"
