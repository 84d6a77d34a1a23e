#!/usr/bin/env bash
# Fetches Prometheus, promtool and amtool into .tools/, where they are not there: Debian's packages, unpacked.
# Debian's Alertmanager itself reads a template below /usr/share, so that it runs only where it is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

for package in prometheus prometheus-alertmanager; do
    [ -x ".tools/usr/bin/$package" ] && continue
    mkdir -p .tools
    (cd .tools && apt-get download "$package" >/dev/null 2>&1 && dpkg -x "$package"_*.deb . && rm "$package"_*.deb) || {
        echo "check: apt-get download $package failed; install it by hand, with promtool and amtool on PATH" >&2
        exit 1
    }
done
