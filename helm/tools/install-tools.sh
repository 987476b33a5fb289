#!/bin/sh
# Install what `make test-helm` needs into a cache, one folder for each version. A second run starts at once.
# Usage: install-tools.sh DIR. Needs go, node with npm, python3 with pip, and on Debian apt for promtool.
set -eu

HELM=4.3.1
KUBECONFORM=0.8.0
KUBERNETES=1.37.0
KEDA_MODELS=2.0.0
PROMETHEUS_OPERATOR_MODELS=6.0.0

cache=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$cache"

# Everything is made beside its place and renamed: a run that is cut off leaves no half of it.
scratch=$(mktemp -d "$cache/.install-XXXXXX")
trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT

need() {
    command -v "$1" >/dev/null || { echo "install-tools.sh: there is no $1: $2" >&2; exit 1; }
}

install_go_tool() { # name, version, module
    target="$cache/$1-$2"
    [ -x "$target/bin/$1" ] && return
    need go "install Go 1.26 or newer"
    echo "building $1 $2 (a few minutes, once)"
    GOBIN="$scratch/$1/bin" nice -n 10 go install "$3@v$2"
    rm -rf "$target" && mv "$scratch/$1" "$target"
}

install_schemas() {
    target="$cache/kubernetes-schemas-$KUBERNETES"
    [ -d "$target" ] && return
    need python3 "install Python with pip"
    echo "fetching the schemas of Kubernetes $KUBERNETES"
    python3 -m pip install --quiet --root-user-action=ignore --target "$scratch/python" \
        "kubernetes-validate==$KUBERNETES" pyyaml
    PYTHONPATH="$scratch/python" python3 "$here/kubernetes_schemas.py" "$KUBERNETES" "$scratch/schemas"
    mv "$scratch/schemas" "$target"
}

install_models() {
    target="$cache/resource-models-$KEDA_MODELS-$PROMETHEUS_OPERATOR_MODELS"
    [ -d "$target" ] && return
    need npm "install Node.js with npm"
    echo "fetching the models of KEDA's and the Prometheus operator's resources"
    mkdir "$scratch/models"
    npm install --silent --no-audit --no-fund --prefix "$scratch/models" \
        "@kubernetes-models/keda@$KEDA_MODELS" "@kubernetes-models/prometheus-operator@$PROMETHEUS_OPERATOR_MODELS"
    mv "$scratch/models" "$target"
}

install_prometheus() {
    command -v promtool >/dev/null && command -v prometheus >/dev/null && return
    target="$cache/prometheus"
    [ -x "$target/usr/bin/promtool" ] && return
    need apt-get "install Prometheus, so that promtool and prometheus are on the path"
    echo "fetching Debian's Prometheus"
    mkdir "$scratch/deb"
    (cd "$scratch/deb" && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; })
    dpkg -x "$scratch"/deb/prometheus_*.deb "$scratch/prometheus"
    mv "$scratch/prometheus" "$target"
}

install_go_tool kubeconform "$KUBECONFORM" github.com/yannh/kubeconform/cmd/kubeconform
install_go_tool helm "$HELM" helm.sh/helm/v4/cmd/helm
install_schemas
install_models
install_prometheus

# Names without versions, for the tests.
mkdir -p "$cache/bin"
ln -sfn "$cache/kubeconform-$KUBECONFORM/bin/kubeconform" "$cache/bin/kubeconform"
ln -sfn "$cache/helm-$HELM/bin/helm" "$cache/bin/helm"
for tool in promtool prometheus; do
    ln -sfn "$(command -v $tool || echo "$cache/prometheus/usr/bin/$tool")" "$cache/bin/$tool"
done
ln -sfn "$cache/kubernetes-schemas-$KUBERNETES" "$cache/kubernetes-schemas"
ln -sfn "$cache/resource-models-$KEDA_MODELS-$PROMETHEUS_OPERATOR_MODELS" "$cache/resource-models"
