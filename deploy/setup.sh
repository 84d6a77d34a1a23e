#!/usr/bin/env bash
# Creates the virtual environment VENV from constraints.txt, verifying every hash.
# Usage: deploy/setup.sh PYTHON VENV
set -euo pipefail

python=$1
venv=$2

fail() {
    echo "setup: $1" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    fail "no $python found: install Python 3.11 or later, or name one with make setup PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Freshet needs Python 3.11 or later; name one with make setup PYTHON=/path/to/python3"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "this Python cannot create virtual environments: apt-get install python3-venv"
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    fail "annoy and freshet-native are built from source and no C++ compiler was found: apt-get install g++ python3-dev"

echo "setup: installing the tested versions into $venv (about 6 GB with torch): takes minutes"
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv "$venv"

# uv's own entry of the constraints file, hashes included.
sed -n '/^uv==/,/[^\\]$/p' constraints.txt >"$venv/uv.txt"
[ -s "$venv/uv.txt" ] || fail "constraints.txt pins no uv: run make constraints"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$venv/uv.txt"

uv=("$venv/bin/uv" pip install --quiet --python "$venv/bin/python")
"${uv[@]}" --require-hashes --build-constraints constraints.txt -r constraints.txt
"${uv[@]}" --no-deps --no-build-isolation --config-settings editable_mode=compat -e . -e clients/python -e native
echo "setup: done"
