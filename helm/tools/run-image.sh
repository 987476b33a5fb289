#!/bin/sh
# Run a command in an image that buildah built, as the image's user on a read-only root with a fresh /tmp,
# as Kubernetes runs it. Needs root and buildah. Usage: run-image.sh NAME:TAG [ARGUMENT...]
set -eu

name=$1
shift
container=$(buildah from --pull-never "$name")
trap 'buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
# shellcheck disable=SC2016 # expanded inside
unshare --mount --pid --fork --kill-child sh -euc '
    root=$1; shift
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    exec chroot --userspec=10001:10001 "$root" /usr/bin/env -i HOME=/tmp \
        PATH=/opt/mekiki/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
        sh -c '"'"'cd /tmp && exec "$@"'"'"' sh "$@"
' sh "$root" "${@:-mekiki}"
