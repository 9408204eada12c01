#!/usr/bin/env bash
# Tests workspaces in a real cluster on this machine: API server, scheduler, controller manager and kubelet from Debian's
# sources (1.20), which still drive Docker's engine. Built on first use, about 10 minutes and 2 GB, and kept in
# target/kubernetes. Takes root. Arguments go to the tests (a name to choose by).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
dir=$target/kubernetes
bin=$dir/bin
go=/usr/lib/go-1.19/bin
say() { printf 'test-kubernetes: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

[ "$(id -u)" = 0 ] || fail "a kubelet and its engine take root: run this as root"
scripts/setup.sh --tests

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need etcd etcd-server
need openssl openssl
need curl curl
need ip iproute2
need jq jq
programs="kube-apiserver kube-controller-manager kube-scheduler kubelet"
built=yes
for program in $programs pause; do [ -x "$bin/$program" ] || built=; done
if [ -z "$built" ]; then
    [ -x $go/go ] || missing="$missing golang-1.19-go"
    need rsync rsync
    need dpkg-source dpkg-dev
    need make make
    need gcc gcc
fi
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || fail "missing:$missing. This is no Debian: install them with this system's own packages"
    say "installing$missing"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -q && apt-get install -y --no-install-recommends $missing" >&2 \
        || fail "could not be installed:$missing (Debian 12 has them all)"
fi

if [ -z "$built" ]; then
    mkdir -p "$dir/apt/lists/partial" "$bin"
    say "getting the sources of Kubernetes from Debian"
    # A list of its own: the machine's stays as it is.
    echo 'deb-src http://deb.debian.org/debian bookworm main' >"$dir/apt/sources.list"
    echo 'deb http://deb.debian.org/debian bookworm main' >>"$dir/apt/sources.list"
    own=(-q -o "Dir::Etc::SourceList=$dir/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$dir/apt/lists" -o APT::Sandbox::User=root)
    apt-get "${own[@]}" update >&2
    (
        cd "$dir"
        [ -d source ] || {
            apt-get "${own[@]}" source --download-only kubernetes >&2
            dpkg-source --no-check -x kubernetes_*.dsc source >&2
        }
        # Its own copy of this library faults with Go 1.18 and newer; Debian packages the version that does not.
        apt-get "${own[@]}" download golang-github-modern-go-reflect2-dev >&2
        rm -rf reflect2
        dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb reflect2
        library=source/vendor/github.com/modern-go/reflect2
        rm -f "$library"/*.go "$library"/*.s
        cp reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$library"/
        rm -f "$library"/*_test.go
        mkdir -p source/.go/src/k8s.io
        ln -sfn ../../.. source/.go/src/k8s.io/kubernetes
    )
    say "building it (once; about 10 minutes; the log is $dir/build.log)"
    (
        cd "$dir/source/.go/src/k8s.io/kubernetes"
        GOPATH=$dir/source/.go GOCACHE=$dir/gocache CGO_ENABLED=0 PATH=$go:$PATH \
            nice -n 10 make WHAT="$(printf 'cmd/%s ' $programs)"
    ) >"$dir/build.log" 2>&1 || { tail -n 20 "$dir/build.log" >&2; fail "Kubernetes could not be built"; }
    for program in $programs; do cp "$dir/source/_output/bin/$program" "$bin/"; done
    gcc -Os -static -o "$bin/pause" "$dir/source/build/pause/linux/pause.c"
    rm -rf "$dir/gocache" "$dir/reflect2"
fi

cargo=${CARGO:-cargo}
$cargo build --workspace --bins --features kubernetes-cluster
# One after the other: some change the one cluster for a while.
$cargo test --features kubernetes-cluster --test it -- --test-threads=1 "kubernetes::cluster::${1:-}" "${@:2}"
