{{/* Names, labels and addresses. Those that are of a process take (dict "root" $ "process" "stream"). */}}

{{- define "freshet.name" -}}
{{- if contains "freshet" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-freshet" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* The component is the job that alerts go by. */}}
{{- define "freshet.selector" -}}
app.kubernetes.io/part-of: freshet
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .process }}
{{- end }}

{{- define "freshet.commonLabels" -}}
app.kubernetes.io/name: freshet
app.kubernetes.io/part-of: freshet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "freshet.labels" -}}
{{ include "freshet.commonLabels" .root }}
app.kubernetes.io/component: {{ .process }}
{{- end }}

{{- define "freshet.storeClaim" -}}
{{ .Values.store.existingClaim | default (printf "%s-store" (include "freshet.name" .)) }}
{{- end }}

{{- define "freshet.artifactsClaim" -}}
{{ .Values.artifacts.existingClaim | default (printf "%s-artifacts" (include "freshet.name" .)) }}
{{- end }}

{{- define "freshet.metricsPort" -}}
{{ get (dict "stream" 9101 "tuner" 9102 "server" 9103 "refresher" 9104 "probe" 9105) . }}
{{- end }}

{{- define "freshet.serverAddress" -}}
{{ include "freshet.name" . }}-server:50051
{{- end }}

{{- define "freshet.strimziUser" -}}
{{ .Values.strimzi.user.name | default (include "freshet.name" .) }}
{{- end }}

{{/* Kafka as it is in force: what `kafka` says, else what `strimzi` makes. Read it with fromYaml. */}}
{{- define "freshet.kafka" -}}
{{- $kafka := .Values.kafka -}}
{{- $strimzi := .Values.strimzi -}}
{{- $space := $strimzi.namespace | default .Release.Namespace -}}
{{- $made := and $strimzi.enabled (not $kafka.bootstrap) -}}
{{- if and $strimzi.enabled (not $strimzi.cluster) }}{{ fail "strimzi.cluster: name the Kafka cluster that Strimzi runs" }}{{ end -}}
{{- if and (not $kafka.bootstrap) (not $strimzi.enabled) }}{{ fail "kafka.bootstrap: say where Kafka is, HOST:PORT, or set strimzi.enabled" }}{{ end -}}
{{- $protocol := $kafka.securityProtocol | default (ternary "SASL_SSL" "PLAINTEXT" $made) -}}
{{- $sasl := hasPrefix "SASL_" $protocol -}}
{{- $user := and $made $strimzi.user.enabled $sasl -}}
{{- if and $sasl (not $user) (not $kafka.passwordSecret.name) (ne $kafka.saslMechanism "OAUTHBEARER") }}{{ fail (printf "kafka.passwordSecret.name: %s wants a password; name the secret that has it" $protocol) }}{{ end -}}
bootstrap: {{ $kafka.bootstrap | default (printf "%s-kafka-bootstrap.%s.svc:%d" $strimzi.cluster $space (int $strimzi.port)) | quote }}
protocol: {{ $protocol }}
mechanism: {{ $kafka.saslMechanism | default (ternary "SCRAM-SHA-512" "" $user) | quote }}
username: {{ $kafka.saslUsername | default (ternary (include "freshet.strimziUser" .) "" $user) | quote }}
password: {{ $kafka.passwordSecret.name | default (ternary (include "freshet.strimziUser" .) "" $user) | quote }}
passwordKey: {{ $kafka.passwordSecret.key }}
ca: {{ $kafka.caSecret.name | default (ternary (printf "%s-cluster-ca-cert" $strimzi.cluster) "" (and $made (hasSuffix "SSL" $protocol))) | quote }}
caKey: {{ $kafka.caSecret.key }}
{{- end }}
