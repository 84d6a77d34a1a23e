{{/* A process's pod: (dict "root" $ "process" "stream" "values" .Values.stream "args" (list ...) ...). Also taken:
  store, artifacts: "rw", "ro" or absent: how the volume is mounted.
  kafka, calls: true: it gets the secrets for Kafka; those to call a server.
  grace: seconds to end in. */}}

{{- define "freshet.pod" -}}
{{- $root := .root -}}
{{- $artifactsTied := and .artifacts (ne $root.Values.artifacts.accessMode "ReadWriteMany") -}}
metadata:
  labels:
    {{- include "freshet.labels" . | nindent 4 }}
    {{- if or .store $artifactsTied }}
    freshet/volume: {{ include "freshet.name" $root }}
    {{- end }}
  annotations:
    checksum/config: {{ include "freshet.settings" $root | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "freshet.name" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    # The store may be large: its files are looked through only where the folder itself is somebody else's.
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or .store $artifactsTied }}
  # A volume of one node: whoever mounts it goes where the first one went.
  affinity:
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              freshet/volume: {{ include "freshet.name" $root }}
  {{- else if eq .process "server" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "freshet.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: {{ .process }}
      image: {{ printf "%s/freshet-%s%s:%s" $root.Values.image.registry .process (.values.imageSuffix | default "") (.values.tag | default $root.Values.image.tag | default $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{- toYaml .args | nindent 8 }}
      securityContext:
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
      env:
        - {name: FRESHET_CONFIG, value: /etc/freshet/freshet.toml}
        {{- if eq .process "stream" }}
        # A pod that is back within the session timeout keeps its partitions.
        - name: FRESHET_STREAM_WORKER_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- include "freshet.secretEnv" . | nindent 8 }}
        {{- with .values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {name: metrics, containerPort: {{ include "freshet.metricsPort" .process }}}
        {{- if eq .process "server" }}
        - {name: grpc, containerPort: 50051}
        {{- if $root.Values.server.http }}
        - {name: http, containerPort: 8080}
        {{- end }}
        {{- end }}
      {{- include "freshet.health" . | nindent 6 }}
      resources: {{- toYaml .values.resources | nindent 8 }}
      # Freshet's folders are one below: a volume's own may hold lost+found, and cannot be moved aside.
      volumeMounts:
        - {name: config, mountPath: /etc/freshet, readOnly: true}
        {{- if .store }}
        - {name: store, mountPath: /data/store, readOnly: {{ eq .store "ro" }}}
        {{- end }}
        {{- if .artifacts }}
        - {name: artifacts, mountPath: /data/artifacts, readOnly: {{ eq .artifacts "ro" }}}
        {{- end }}
        {{- range include "freshet.secretNames" . | fromYamlArray }}
        - {name: {{ . }}, mountPath: /run/secrets/{{ . }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "freshet.name" $root }}}
    {{- if .store }}
    - name: store
      persistentVolumeClaim: {claimName: {{ include "freshet.storeClaim" $root }}}
    {{- end }}
    {{- if .artifacts }}
    - name: artifacts
      persistentVolumeClaim: {claimName: {{ include "freshet.artifactsClaim" $root }}}
    {{- end }}
    {{- include "freshet.secretVolumes" . | nindent 4 }}
{{- end }}

{{/* Alive: it answers at all; a dead broker is no reason to start it again. Ready: it can do its work. */}}
{{- define "freshet.health" -}}
livenessProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  {{- if and (eq .process "server") (not .root.Values.server.tls.secretName) }}
  grpc: {port: 50051}
  periodSeconds: 5
  {{- else }}
  exec:
    command: [python, /healthcheck.py, {{ .process }}, "127.0.0.1:{{ eq .process "server" | ternary "50051" (include "freshet.metricsPort" .process) }}"]
  periodSeconds: 15
  {{- end }}
  timeoutSeconds: 5
{{- end }}
