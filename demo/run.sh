#!/bin/sh
# The whole main job on a sample repository: a request goes in, a patch that the server has
# verified comes out. Exits 0 only if it is verified.
#
# Needs what the service needs (git, bubblewrap, Postgres' binaries) and python3 for the sample's
# tests; no network. Everything lies in a temporary directory and is gone afterwards.
#
# Without OPENAI_API_KEY, ANTHROPIC_API_KEY or JOURNEYMAN_MODEL_URL a scripted model plays the
# agent over real HTTP; all else is real: sandbox, edits, test runs, checks, verdict.
#
# JOURNEYMAN_BIN: the binary to run, instead of building one.
# DEMO_PROFILE: cargo's profile to build with (dev, which is built soonest).
set -eu

demo=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$demo")
profile=${DEMO_PROFILE:-dev}

if [ -z "${JOURNEYMAN_BIN:-}" ]; then
    (cd "$root" && cargo build --profile "$profile" --workspace --bins)
    target=$(cd "$root" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    [ "$profile" = dev ] && profile=debug
    JOURNEYMAN_BIN=$target/$profile/journeyman
fi

for tool in git python3; do
    command -v "$tool" >/dev/null || { echo "the demo needs $tool" >&2; exit 2; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/journeyman-demo.XXXXXX")
# Started as root, Postgres and the sandboxes run as other users, who have to get through.
chmod 755 "$work"
model_pid=

cleanup() {
    status=$?
    trap - EXIT INT TERM HUP
    [ -z "$model_pid" ] || kill "$model_pid" 2>/dev/null || true
    # Only after a kill -9 of the command below is its database still there.
    find "$work/data" -name postmaster.pid -exec sed -n 1p {} \; 2>/dev/null | while read -r pid; do
        kill -INT "$pid" 2>/dev/null || true
    done
    rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What is set for a person's own server has no say here.
unset DATABASE_URL JOURNEYMAN_URL JOURNEYMAN_KEY JOURNEYMAN_CONFIG JOURNEYMAN_JWKS JOURNEYMAN_JWT_SECRET
export JOURNEYMAN_DATA_DIR="$work/data"

if [ -z "${OPENAI_API_KEY:-}${ANTHROPIC_API_KEY:-}${JOURNEYMAN_MODEL_URL:-}" ]; then
    "$JOURNEYMAN_BIN" model --script "$demo/script.json" --listen 127.0.0.1:0 >"$work/model.log" 2>&1 &
    model_pid=$!
    url=
    tries=0
    while [ -z "$url" ]; do
        url=$(sed -n 's|.*\(http://[0-9.:]*/v1\).*|\1|p' "$work/model.log" | head -n 1)
        tries=$((tries + 1))
        if ! kill -0 "$model_pid" 2>/dev/null || [ "$tries" -gt 200 ]; then
            echo "the scripted model did not start:" >&2
            cat "$work/model.log" >&2
            exit 2
        fi
        [ -n "$url" ] || sleep 0.1
    done
    unset JOURNEYMAN_MODEL_KEY
    export JOURNEYMAN_MODEL=scripted JOURNEYMAN_MODEL_API=responses JOURNEYMAN_MODEL_URL="$url"
    export JOURNEYMAN_PRIVATE_HOSTS=127.0.0.1
    echo "The model is scripted: it plays demo/script.json. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or"
    echo "JOURNEYMAN_MODEL_URL for a real one. All else is real."
    echo
fi

"$demo/make-repository.sh" "$work/invoices" >/dev/null
cd "$work/invoices"
echo "A sample repository:"
git --no-pager log --reverse --format='  %h %as  %an: %s'
echo "and its tests:"
PYTHONDONTWRITEBYTECODE=1 python3 -m unittest 2>&1 | grep -E '^(FAIL|ERROR|Ran|FAILED|OK)' | cut -d' ' -f1-2 | sed 's/^/  /'
echo

request='Splitting an invoice between several payers loses cents: 100.00 between three gives 99.99.
Find out why and fix it. The tests say what must hold.'
echo '$ journeyman run "Splitting an invoice ..." \'
echo '      --check "python3 -m unittest -v" --require verified --apply'
echo
"$JOURNEYMAN_BIN" run "$request" --check "python3 -m unittest -v" --require verified --apply
