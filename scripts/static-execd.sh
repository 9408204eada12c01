#!/bin/sh
# Builds the execd for containers, which has to need no library: target/PROFILE/execd-static, where the
# service looks for it beside execd. Usage: static-execd.sh [debug|release]
set -eu
cd "$(dirname "$0")/.."

profile=${1:-release}
case $profile in
    release) flag=--release ;;
    debug) flag= ;;
    *) echo "usage: $0 [debug|release]" >&2; exit 2 ;;
esac
target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" \
    ${CARGO:-cargo} build --quiet --package execd --bin execd --target "$host" --target-dir "$target" $flag
mkdir -p "$target/$profile"
# In one step: a service may be about to start one.
cp "$target/$host/$profile/execd" "$target/$profile/execd-static.new"
mv "$target/$profile/execd-static.new" "$target/$profile/execd-static"
