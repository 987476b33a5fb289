#!/bin/sh
# For a machine without an image registry: make docker.io/library/debian:bookworm-slim with debootstrap,
# in buildah's own storage. Needs root, buildah and debootstrap.
set -eu

name=docker.io/library/debian:bookworm-slim
buildah inspect --type image "$name" >/dev/null 2>&1 && exit 0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase bookworm "$root" >/dev/null
# As the slim image does: neither manuals nor translations, now and later.
printf 'path-exclude /usr/share/%s/*\n' doc man locale info > "$root/etc/dpkg/dpkg.cfg.d/slim"
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/* \
    "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
container=$(buildah from scratch)
cp -a "$root/." "$(buildah mount "$container")/"
buildah config --cmd bash "$container"
buildah commit --rm "$container" "$name" >/dev/null
