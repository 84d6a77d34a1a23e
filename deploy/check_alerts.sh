#!/usr/bin/env bash
# Checks the alert rules and runs their unit tests with promtool, fetched into .tools/ where it is not installed.
set -euo pipefail
cd "$(dirname "$0")"

tools=../.tools
promtool=$(command -v promtool || echo "$tools/usr/bin/promtool")
if [ ! -x "$promtool" ]; then
    mkdir -p "$tools"
    (cd "$tools" && apt-get download prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb . && rm prometheus_*.deb) || {
        echo "check: no promtool on PATH, and apt-get download prometheus failed: install Prometheus" >&2
        exit 1
    }
fi
"$promtool" check rules alerts.yml
"$promtool" check config prometheus.yml
"$promtool" test rules alerts_test.yml
