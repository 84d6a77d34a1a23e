#!/usr/bin/env bash
# Runs the tests of native/ over a build that watches its memory and its arithmetic (AddressSanitizer,
# UndefinedBehaviorSanitizer of GCC or Clang): what strangers send is read in C.
# Usage: deploy/sanitize.sh VENV [PYTEST ARGUMENTS]
set -euo pipefail

bin=$1/bin
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CC=${CC:-gcc}
watched=-fsanitize=address,undefined
cp -r native "$scratch/native" # a build beside the sources would be taken for the plain one
CFLAGS="$watched -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1" LDFLAGS=$watched \
    "$bin/uv" pip install --quiet --python "$bin/python" --no-deps --build-constraints constraints.txt \
    --target "$scratch/built" "$scratch/native"

# Python is not built so, and must load both first. It keeps memory until its end, which is no leak of ours. Reports go
# to files: pytest would take what the process says as it dies.
watch() {
    LD_PRELOAD="$("$CC" -print-file-name=libasan.so) $("$CC" -print-file-name=libubsan.so)" \
        ASAN_OPTIONS=detect_leaks=0:log_path=$scratch/report UBSAN_OPTIONS=print_stacktrace=1:log_path=$scratch/report \
        PYTHONPATH=$scratch/built "$@"
}
found=$(watch "$bin/python" -c 'import freshet_native; print(freshet_native.__file__)')
[ "${found#"$scratch"}" != "$found" ] || { echo "sanitize: tested $found instead" >&2 && exit 1; }
status=0
watch "$bin/pytest" -q "$@" tests/native || status=$?
cat "$scratch"/report.* 2>/dev/null || true
exit "$status"
