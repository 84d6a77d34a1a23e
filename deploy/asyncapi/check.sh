#!/usr/bin/env bash
# Validates docs/asyncapi.yaml by AsyncAPI's own parser, which comes from npm into .tools/asyncapi.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "check: $1" >&2
    exit 1
}

# Nothing is downloaded but what the lock file has the hash of.
tool=.tools/asyncapi
if [ ! -d "$tool/node_modules/@asyncapi/parser" ] ||
    ! cmp -s deploy/asyncapi/package-lock.json "$tool/package-lock.json"; then
    command -v npm >/dev/null || fail "no npm found, and AsyncAPI's parser comes from there: apt-get install nodejs npm"
    rm -rf "$tool"
    mkdir -p "$tool"
    cp deploy/asyncapi/package.json deploy/asyncapi/package-lock.json "$tool"
    npm ci --prefix "$tool" --ignore-scripts --no-audit --no-fund --silent || {
        rm -rf "$tool"
        fail "npm could not install AsyncAPI's parser"
    }
fi

node deploy/asyncapi/validate.js "$PWD/$tool/node_modules/@asyncapi/parser" docs/asyncapi.yaml ||
    fail "docs/asyncapi.yaml is no AsyncAPI document"
echo "asyncapi: docs/asyncapi.yaml is valid"
