#!/bin/sh
# How many compilers to run at once: one for each processor, and 2 GiB of memory for each.
set -eu
processors=$(nproc)
memory=$(awk '/^MemAvailable:/ { print int($2 / 2097152) }' /proc/meminfo)
[ "${memory:-1}" -ge 1 ] || memory=1
[ "$memory" -lt "$processors" ] && echo "$memory" || echo "$processors"
