#!/usr/bin/env bash
# Writes constraints.txt: every package of every extra at one version, with hashes and without addresses.
# Our own client and native library are left out: they come from this folder.
# Usage: deploy/constraints.sh UV
set -euo pipefail

fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
echo "# Tested versions, by hash. To regenerate: make constraints" >"$fresh"
"$1" pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras --generate-hashes \
    --no-emit-package freshet-client --no-emit-package freshet-native --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml >>"$fresh"
cat "$fresh" >constraints.txt
echo "constraints: $(grep -c '^[a-z]' constraints.txt) packages pinned"
