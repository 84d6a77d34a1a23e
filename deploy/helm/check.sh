#!/usr/bin/env bash
# Lints the Helm chart, validates what it renders with the values of its folder ci/, and runs its unit tests.
# No cluster is asked: schemas are of the kinds themselves, unknown fields are refused.
set -euo pipefail
cd "$(dirname "$0")/../.."

chart=deploy/helm/freshet
tool=.tools/chart

fail() {
    echo "check: $1" >&2
    exit 1
}

.venv/bin/python -m deploy.chart --check
deploy/helm/fetch.sh
rm -rf "$tool/rendered"
for kubernetes in v1.27.0 v1.37.0; do
    mkdir -p "$tool/rendered/$kubernetes"
    for values in "$chart"/ci/*-values.yaml; do
        with=(--kube-version "$kubernetes" --values "$values")
        "$tool/bin/helm" lint --quiet --strict "$chart" "${with[@]}" || fail "helm lint refuses $values"
        "$tool/bin/helm" template shop "$chart" --namespace shop "${with[@]}" \
            >"$tool/rendered/$kubernetes/$(basename "$values")" || fail "the chart does not render with $values"
    done
    "$tool/bin/kubeconform" -strict -kubernetes-version "${kubernetes#v}" \
        -schema-location "$tool/schemas/$kubernetes/{{ .ResourceKind }}{{ .KindSuffix }}.json" \
        -schema-location "$tool/schemas/operators/{{ .ResourceKind }}{{ .KindSuffix }}.json" "$tool/rendered/$kubernetes"/* ||
        fail "the chart renders what Kubernetes $kubernetes does not take"
done
.venv/bin/python -m deploy.chart.rendered "$tool"/rendered/*/* || fail "the chart renders what does not fit together"
"$tool/bin/helm-unittest" "$chart" >"$tool/unittest.log" 2>&1 || {
    cat "$tool/unittest.log" >&2
    fail "unit tests of the chart failed"
}
rendered=("$tool"/rendered/*/*)
echo "chart: linted; ${#rendered[@]} renderings are valid; $(grep -m 1 '^Tests:' "$tool/unittest.log" | tr -s ' ')"
