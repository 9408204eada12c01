#!/bin/sh
# Makes the demo's sample repository in DIRECTORY, with its history: the same commits every time.
# Usage: make-repository.sh DIRECTORY
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
history=$(cd "$(dirname "$0")" && pwd)/history

# Neither the user's git configuration nor hooks have a say in what is made.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_COMMITTER_NAME=journeyman-demo GIT_COMMITTER_EMAIL=demo@example.org
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

mkdir -p "$1"
cd "$1"
[ -z "$(ls -A .)" ] || { echo "$0: $1 is not empty" >&2; exit 1; }
git init --quiet --template= .
git symbolic-ref HEAD refs/heads/main
git am --quiet --committer-date-is-author-date "$history"/*.patch
git log -1 --format='%H'
