#!/usr/bin/env bash
# Lints the contracts, and compares them with what was released last, by buf, which comes from npm into .tools/buf.
#
# Compared with: the newest tag v* that HEAD contains; where there is none, the commit at which this branch left main
# (origin's, if that is known); where there is no main either, as in a shallow clone of a branch, what is committed.
# So until the first tag a break is found where it is made, on its branch, and not again on main itself.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "check: $1" >&2
    exit 1
}

# The package holds the binary itself, so that nothing is downloaded but what the lock file has the hash of.
tool=.tools/buf
buf=$tool/node_modules/.bin/buf
if [ ! -x "$buf" ] || ! cmp -s deploy/buf/package-lock.json "$tool/package-lock.json"; then
    command -v npm >/dev/null || fail "no npm found, and buf comes from there: apt-get install nodejs npm"
    rm -rf "$tool"
    mkdir -p "$tool"
    cp deploy/buf/package.json deploy/buf/package-lock.json "$tool"
    npm ci --prefix "$tool" --ignore-scripts --no-audit --no-fund --silent || {
        rm -rf "$tool"
        fail "npm could not install buf"
    }
fi

released() {
    [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ] || return
    git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null ||
        git merge-base HEAD origin/main 2>/dev/null ||
        git merge-base HEAD main 2>/dev/null ||
        git rev-parse HEAD 2>/dev/null
}

"$buf" lint
if ! against=$(released); then
    echo "protos: linted; not compared, for there is no git history here"
    exit 0
fi
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$against" protos | tar -x -C "$before"
"$buf" breaking --against "$before" --against-config buf.yaml ||
    fail "a contract breaks who uses that of $against: add fields instead, or make a new version of its package"
echo "protos: linted; nothing breaks who uses $(git describe --tags --always "$against")"
