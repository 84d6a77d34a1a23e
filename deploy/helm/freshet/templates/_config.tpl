{{/* The TOML file: `config`, with what other values say of Kafka and the server. A scalar's JSON is its TOML. */}}

{{- define "freshet.toml" -}}
{{- range $table, $keys := . }}
[{{ $table }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "freshet.tomlValue" $value }}
{{- end }}
{{ end }}
{{- end }}

{{- define "freshet.tomlValue" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ $key | toJson }} = {{ include "freshet.tomlValue" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $index, $value := . }}{{ if $index }}, {{ end }}{{ include "freshet.tomlValue" $value }}{{ end }}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end }}

{{- define "freshet.settings" -}}
{{- $kafka := include "freshet.kafka" . | fromYaml -}}
{{- $stream := dict "security_protocol" $kafka.protocol -}}
{{- with $kafka.mechanism }}{{ $_ := set $stream "sasl_mechanism" . }}{{ end -}}
{{- with $kafka.username }}{{ $_ := set $stream "sasl_username" . }}{{ end -}}
{{- with $kafka.password }}{{ $_ := set $stream "sasl_password_file" "/run/secrets/kafka/password" }}{{ end -}}
{{- if .Values.kafka.oauthSecret.name }}{{ $_ := set $stream "sasl_oauthbearer_client_secret_file" "/run/secrets/kafka/oauth-secret" }}{{ end -}}
{{- if .Values.kafka.registryPasswordSecret.name }}{{ $_ := set $stream "schema_registry_password_file" "/run/secrets/kafka/registry-password" }}{{ end -}}
{{- with $kafka.ca }}{{ $_ := set $stream "ssl_ca_location" "/run/secrets/kafka/ca.crt" }}{{ end -}}
{{- if .Values.kafka.certificateSecret.name -}}
{{- $_ := set $stream "ssl_certificate_location" "/run/secrets/kafka/client.crt" -}}
{{- $_ := set $stream "ssl_key_location" "/run/secrets/kafka/client.key" -}}
{{- end -}}
{{- with .Values.stream.checkpointsUrl }}{{ $_ := set $stream "checkpoints_url" . }}{{ end -}}
{{- $server := dict -}}
{{- if .Values.server.http }}{{ $_ := set $server "http_address" "0.0.0.0:8080" }}{{ end -}}
{{- with .Values.server.tls.secretName -}}
{{- $_ := set $server "tls_cert" "/run/secrets/server/tls.crt" -}}
{{- $_ := set $server "tls_key" "/run/secrets/server/tls.key" -}}
{{- end -}}
{{- with .Values.server.tls.clientCaKey }}{{ $_ := set $server "tls_client_ca" "/run/secrets/server/client-ca.crt" }}{{ end -}}
{{- with .Values.server.tokensSecret }}{{ $_ := set $server "tokens" "/run/secrets/tokens/tokens" }}{{ end -}}
{{- $log := dict "format" "json" -}}
{{- $config := deepCopy .Values.config -}}
{{- toYaml (mergeOverwrite (dict "stream" $stream "server" $server "log" $log) $config) -}}
{{- end }}
