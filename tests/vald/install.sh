#!/bin/sh
# Build a Vald agent and its load-balancing gateway into a cache, once (some minutes), and print their folder.
# Usage: install.sh DIR. Needs go, cargo, cmake and a C++ compiler.
#
# NGT is what crates.io's ngt-sys carries; ngt/shim gives the few names that Vald wants of a newer one.
set -eu

VALD=1.7.17
NGT=2.2.2

here=$(cd "$(dirname "$0")" && pwd)
cache=$1
target="$cache/vald-$VALD-$NGT"
if [ ! -d "$target/bin" ]; then # made last
    for tool in go cargo cmake c++; do
        command -v "$tool" >/dev/null || { echo "install.sh: there is no $tool" >&2; exit 1; }
    done
    echo "building NGT $NGT and Vald $VALD (some minutes, once)" >&2
    mkdir -p "$cache"
    # Beside its place and renamed: a run that is cut off leaves no whole of it.
    scratch=$(mktemp -d "$cache/.install-XXXXXX")
    trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT

    # The crate carries NGT's own sources: cargo brings them, cmake builds them, no Rust is compiled.
    cp -r "$here/ngt" "$scratch/ngt"
    cargo vendor -q --locked --manifest-path "$scratch/ngt/Cargo.toml" "$scratch/vendor" >/dev/null
    cmake -S "$scratch/vendor/ngt-sys/NGT" -B "$scratch/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS=-w \
        -DNGT_LARGE_DATASET=ON -DNGT_QBG_DISABLED=ON >&2
    nice -n 10 cmake --build "$scratch/build" --target ngt >&2
    rm -rf "$target" && mkdir -p "$target/lib"
    cp -P "$scratch"/build/lib/NGT/libngt.so* "$target/lib"

    mkdir "$scratch/vald" && cd "$scratch/vald"
    printf 'module vald\n\ngo 1.26\n' >go.mod
    source=$(go mod download -json "github.com/vdaas/vald@v$VALD" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    sed -n '/^replace (/,/^)/p' "$source/go.mod" >>go.mod # a dependency's own replacements do not count
    cat "$source/go.sum" >go.sum
    go mod edit -require="github.com/vdaas/vald@v$VALD"
    build() { nice -n 10 go build -mod=mod -buildvcs=false -o "$scratch/bin/$1" "github.com/vdaas/vald/cmd/$2"; }
    CGO_ENABLED=0 build vald-lb-gateway gateway/lb
    headers="$scratch/vendor/ngt-sys/NGT/lib -I$scratch/build/lib"
    export CGO_CFLAGS="-O2 -I$scratch/ngt/shim -I$headers" CGO_CXXFLAGS="-O2 -I$headers"
    # shellcheck disable=SC2016 # $ORIGIN is the linker's
    export CGO_LDFLAGS="-L$target/lib "'-Wl,-rpath,$ORIGIN/../lib'
    CGO_ENABLED=1 build vald-agent-ngt agent/core/ngt
    mv "$scratch/bin" "$target/bin"
fi
echo "$target"
