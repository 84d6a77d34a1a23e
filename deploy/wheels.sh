#!/usr/bin/env bash
# Builds the three wheels, installs them into a clean environment at the tested versions, and runs the demo from an empty
# folder, so that nothing comes from the source tree. Usage: deploy/wheels.sh [--found | PYTHON...]
# With that of .venv by default; --found: and with each other from 3.11 to 3.14 that is here: uv's, on PATH, or pyenv's.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
uv=$root/.venv/bin/uv
wheels=$root/.tools/wheels
export UV_LINK_MODE=${UV_LINK_MODE:-hardlink} UV_NO_PROGRESS=1

fail() {
    echo "wheels: $1" >&2
    exit 1
}

# others: the interpreters of other versions that are here, one a version, each on a line.
others() {
    local own version each
    own=$("$root/.venv/bin/python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
    for version in 3.11 3.12 3.13 3.14; do
        [ "$version" != "$own" ] || continue
        for each in "$("$uv" python find --no-python-downloads "$version" 2>/dev/null || true)" \
            "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            [ -x "$each" ] && "$each" -c 'import ssl, sqlite3' 2>/dev/null || continue
            echo "$each"
            continue 2
        done
        echo "wheels: no Python $version here: not tried" >&2
    done
}

if [ "${1:-}" = --found ]; then
    mapfile -t found < <(others)
    set -- "$root/.venv/bin/python" "${found[@]}"
elif [ $# = 0 ]; then
    set -- "$root/.venv/bin/python"
fi

scratch=$(mktemp -d)
# What is left of a build would be a second copy of the packages for whatever looks at this folder.
trap 'rm -rf "$scratch" build clients/python/build native/build' EXIT
rm -rf "$wheels" build clients/python/build native/build
for python in "$@"; do
    version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))') || fail "$python does not run"
    started=$SECONDS
    # The native library is built for each Python; the others are the same for all.
    for source in . clients/python native; do
        "$uv" build --quiet --wheel --python "$python" --build-constraints constraints.txt --out-dir "$wheels/$version" "$source" ||
            fail "$source does not become a wheel with Python $version"
    done
    "$uv" venv --quiet --python "$python" "$scratch/$version"
    built=("$wheels/$version"/freshet-[0-9]*.whl "$wheels/$version"/freshet_client-*.whl "$wheels/$version"/freshet_native-*.whl)
    "$uv" pip install --quiet --python "$scratch/$version/bin/python" --constraints constraints.txt \
        --build-constraints constraints.txt "${built[0]}[all,native]" "${built[@]:1}" ||
        fail "the wheels do not install with Python $version"
    mkdir "$scratch/empty-$version"
    (
        cd "$scratch/empty-$version"
        "$scratch/$version/bin/python" - "$root" <<'PYTHON'
import importlib
import sys
from pathlib import Path

for name in ("freshet", "freshet_client", "freshet_native", "protos", "stream", "model", "server"):
    path = Path(importlib.import_module(name).__file__)
    assert "site-packages" in path.parts and not path.is_relative_to(sys.argv[1]), f"{name} comes from {path}"
PYTHON
        "$scratch/$version/bin/freshet" demo >demo.txt 2>demo.err || {
            tail -n 20 demo.txt demo.err >&2
            fail "the demo fails with Python $version"
        }
        grep -q "has learned it" demo.txt || fail "the demo with Python $version does not end as it should"
    )
    echo "wheels: Python $version: installed, and the demo ran ($((SECONDS - started)) s)"
done
