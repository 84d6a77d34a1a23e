#!/usr/bin/env bash
# Builds what checks the chart into .tools/chart, once: helm, kubeconform and helm-unittest by Go, with the hashes of
# deploy/helm/tools/go.sum; schemas of Kubernetes from PyPI by hash, of the Prometheus operator from its Go module, of
# Strimzi by its own generator from Maven.
set -euo pipefail
cd "$(dirname "$0")/../.."

operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
# The oldest Kubernetes that Chart.yaml takes, and the newest that there are schemas for.
kubernetes=(v1.27.0 v1.37.0)

fail() {
    echo "check: $1" >&2
    exit 1
}

tool=.tools/chart
wanted="$(cat deploy/helm/tools/* deploy/helm/fetch.sh deploy/chart/definitions.py | sha256sum)"
[ "$(cat "$tool/done" 2>/dev/null)" = "$wanted" ] && exit 0

command -v go >/dev/null || fail "no go found, and helm is built by it: install Go 1.26 or later"
command -v mvn >/dev/null || fail "no mvn found, and Strimzi's definitions come by it: apt-get install default-jre-headless maven"
mkdir -p "$tool/bin"
rm -rf "$tool/done" "$tool/schemas"
echo "check: building helm, kubeconform and helm-unittest, once (some minutes)"
(cd deploy/helm/tools && go build -ldflags='-s -w' -o "$OLDPWD/$tool/bin/" tool 2>"$OLDPWD/$tool/go.log") ||
    fail "go could not build them: $(tail -n 3 "$tool/go.log")"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest "$scratch" \
    -r deploy/helm/tools/kubernetes.txt || fail "pip could not fetch the schemas of Kubernetes"
.venv/bin/python - "$scratch"/kubernetes_validate-*.whl "$tool/schemas" "${kubernetes[@]}" <<'PYTHON'
import json
import sys
import zipfile
from pathlib import Path

wheel, out, *versions = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in map(Path, archive.namelist()):
        for version in versions:
            if member.parent.name == f"{version}-local-strict":
                path = Path(out, version, member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                # They name each other by a web address: as files they are beside each other.
                schema = json.loads(archive.read(str(member)).replace(b'"/api/', b'"'))
                schema.pop("$id", None)
                path.write_text(json.dumps(schema), "utf-8")
PYTHON

module=$(go mod download -json "$operator" | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') ||
    fail "go could not fetch $operator"
mvn -q -B -f deploy/helm/tools/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$scratch/strimzi" >"$tool/mvn.log" || fail "mvn could not fetch Strimzi: $(tail -n 3 "$tool/mvn.log")"
java -cp "$scratch/strimzi/*" io.strimzi.crdgenerator.CrdGenerator --yaml \
    io.strimzi.api.kafka.model.topic.KafkaTopic="$scratch/topic.yaml" \
    io.strimzi.api.kafka.model.user.KafkaUser="$scratch/user.yaml" 2>"$tool/java.log" ||
    fail "Strimzi's generator failed: $(tail -n 3 "$tool/java.log")"
.venv/bin/python -m deploy.chart.definitions "$tool/schemas/operators" "$scratch/topic.yaml" "$scratch/user.yaml" \
    "$module"/example/prometheus-operator-crd/monitoring.coreos.com_{prometheusrules,servicemonitors}.yaml
echo "$wanted" >"$tool/done"
