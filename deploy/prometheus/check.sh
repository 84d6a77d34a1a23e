#!/usr/bin/env bash
# Compares rules, configurations and dashboards with their source, checks them, and runs the rules' unit tests.
# The tools are those on PATH, else those that fetch.sh brings.
set -euo pipefail
cd "$(dirname "$0")"

tool() {
    command -v "$1" || echo "../../.tools/usr/bin/$1"
}

(cd ../.. && .venv/bin/python -m deploy.mixin --check)
command -v promtool >/dev/null && command -v amtool >/dev/null || ./fetch.sh
promtool=$(tool promtool)
"$promtool" check rules --lint-fatal alerts.yml
"$promtool" check config prometheus.yml
"$(tool amtool)" check-config alertmanager.yml
"$promtool" test rules ./*_test.yml
