{{/* Secrets of a process, as files below /run/secrets and, where there is no setting for a file, as variables. */}}

{{- define "freshet.secretNames" -}}
{{- $kafka := include "freshet.kafka" .root | fromYaml -}}
{{- $values := .root.Values -}}
{{- $names := list -}}
{{- if and .kafka (or $kafka.password $kafka.ca $values.kafka.certificateSecret.name $values.kafka.oauthSecret.name $values.kafka.registryPasswordSecret.name) }}{{ $names = append $names "kafka" }}{{ end -}}
{{- if and (eq .process "server") $values.server.tls.secretName }}{{ $names = append $names "server" }}{{ end -}}
{{- if and (eq .process "server") $values.server.tokensSecret }}{{ $names = append $names "tokens" }}{{ end -}}
{{- if and .calls (or $values.client.tokenSecret.name $values.client.caSecret.name $values.client.certificateSecret) }}{{ $names = append $names "client" }}{{ end -}}
{{- toYaml $names -}}
{{- end }}

{{- define "freshet.secretVolumes" -}}
{{- $kafka := include "freshet.kafka" .root | fromYaml -}}
{{- $values := .root.Values -}}
{{- range include "freshet.secretNames" . | fromYamlArray }}
- name: {{ . }}
  projected:
    defaultMode: 0440
    sources:
      {{- if eq . "kafka" }}
      {{- with $kafka.password }}
      - secret: {name: {{ . }}, items: [{key: {{ $kafka.passwordKey }}, path: password}]}
      {{- end }}
      {{- with $values.kafka.oauthSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: oauth-secret}]}
      {{- end }}
      {{- end }}
      {{- with $values.kafka.registryPasswordSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: registry-password}]}
      {{- end }}
      {{- end }}
      {{- with $kafka.ca }}
      - secret: {name: {{ . }}, items: [{key: {{ $kafka.caKey }}, path: ca.crt}]}
      {{- end }}
      {{- with $values.kafka.certificateSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .certKey }}, path: client.crt}, {key: {{ .keyKey }}, path: client.key}]}
      {{- end }}
      {{- end }}
      {{- else if eq . "server" }}
      - secret:
          name: {{ $values.server.tls.secretName }}
          items:
            - {key: tls.crt, path: tls.crt}
            - {key: tls.key, path: tls.key}
            {{- with $values.server.tls.clientCaKey }}
            - {key: {{ . }}, path: client-ca.crt}
            {{- end }}
      {{- else if eq . "tokens" }}
      - secret: {name: {{ $values.server.tokensSecret }}, items: [{key: tokens, path: tokens}]}
      {{- else }}
      {{- with $values.client.tokenSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: token}]}
      {{- end }}
      {{- end }}
      {{- with $values.client.caSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: ca.crt}]}
      {{- end }}
      {{- end }}
      {{- with $values.client.certificateSecret }}
      - secret: {name: {{ . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}

{{- define "freshet.secretEnv" -}}
{{- $values := .root.Values -}}
{{- if and .kafka $values.kafka.keyPasswordSecret.name }}
- name: FRESHET_STREAM_SSL_KEY_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $values.kafka.keyPasswordSecret.name }}, key: {{ $values.kafka.keyPasswordSecret.key }}}}
{{- end }}
{{- if .calls }}
{{- if $values.client.tokenSecret.name }}
- {name: FRESHET_CLIENT_TOKEN_FILE, value: /run/secrets/client/token}
{{- end }}
{{- if $values.client.caSecret.name }}
- {name: FRESHET_CLIENT_TLS_CA, value: /run/secrets/client/ca.crt}
- {name: FRESHET_CLIENT_SERVER_NAME, value: {{ $values.client.serverName | default (printf "%s-server" (include "freshet.name" .root)) }}}
{{- end }}
{{- if $values.client.certificateSecret }}
- {name: FRESHET_CLIENT_TLS_CERT, value: /run/secrets/client/tls.crt}
- {name: FRESHET_CLIENT_TLS_KEY, value: /run/secrets/client/tls.key}
{{- end }}
{{- end }}
{{- end }}
