#!/bin/sh
# Fetch Apicurio Registry into a cache, once, and print its folder. Usage: install.sh DIR. Needs mvn.
set -eu

VERSION=3.3.3

target="$1/apicurio-$VERSION"
if [ ! -f "$target/quarkus-run.jar" ]; then
    command -v mvn >/dev/null || { echo "install.sh: there is no mvn: install Maven" >&2; exit 1; }
    echo "fetching Apicurio Registry $VERSION (150 MB, once)" >&2
    mkdir -p "$1"
    # Beside its place and renamed: a run that is cut off leaves no half of it.
    scratch=$(mktemp -d "$1/.install-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        "-Dartifact=io.apicurio:apicurio-registry-app:$VERSION:tar.gz:all" "-DoutputDirectory=$scratch" >&2
    mkdir "$scratch/app"
    tar xzf "$scratch/apicurio-registry-app-$VERSION-all.tar.gz" -C "$scratch/app"
    rm -rf "$target" && mv "$scratch/app" "$target"
fi
echo "$target"
