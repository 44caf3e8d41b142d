{{- define "doran.labels" -}}
app.kubernetes.io/name: doran
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "doran.selector" -}}
app.kubernetes.io/name: doran
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "doran.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "doran.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "doran.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* The keys of the Secret that a service is shown, and the setting that names each file. */}}
{{- define "doran.secrets" -}}
{{- $of := dict
  "core" (dict "secret_key" "SECRET_KEY" "service_secrets" "SERVICE_SECRETS" "core_database" "CORE_DATABASE")
  "chat" (dict "chat_service_secret" "SERVICE_SECRET" "chat_database" "CHAT_DATABASE")
  "ai" (dict "ai_service_secret" "SERVICE_SECRET" "ai_database" "AI_DATABASE" "ai_providers" "AI_PROVIDERS" "ai_secret_key" "SECRET_KEY") }}
{{- toYaml (merge (dict "redis" "REDIS" "bus" "BUS" "metrics_token" "METRICS_TOKEN") (get $of .)) }}
{{- end }}

{{- define "doran.environment" -}}
- {name: DORAN_PUBLIC_URL, value: {{ printf "https://%s" .root.Values.host | quote }}}
- {name: DORAN_TRUSTED_PROXIES, value: {{ .root.Values.trustedProxies | quote }}}
- {name: DORAN_DRAIN_SECONDS, value: {{ .root.Values.drainSeconds | quote }}}
- {name: DORAN_WORK, value: {{ .work | quote }}}
{{- range tuple "core" "chat" "ai" }}
- {name: DORAN_{{ upper . }}_URL, value: {{ printf "http://%s-%s:8000" $.root.Release.Name . | quote }}}
{{- end }}
{{- range $key, $setting := include "doran.secrets" .service | fromYaml }}
- {name: DORAN_{{ $setting }}_FILE, value: /run/secrets/doran/{{ $key }}}
{{- end }}
{{- range $name, $value := .root.Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "doran.pod" -}}
automountServiceAccountToken: false
securityContext:
  {{- include "doran.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ add .root.Values.noticeSeconds (mul 2 .root.Values.drainSeconds) 5 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "doran.selector" . | nindent 8 }}
containers:
  - name: doran
    image: {{ include "doran.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: [{{ .verb }}, {{ .service }}]
    env:
      {{- include "doran.environment" . | nindent 6 }}
    ports:
      - {name: http, containerPort: 8000}
    startupProbe:
      httpGet: {path: /health/live, port: http}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /health/live, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
    readinessProbe:
      httpGet: {path: /health/ready, port: http}
      periodSeconds: 5
      timeoutSeconds: 5
    lifecycle:
      preStop:
        sleep: {seconds: {{ .root.Values.noticeSeconds }}}
    resources:
      {{- toYaml .resources | nindent 6 }}
    securityContext:
      {{- include "doran.security" . | nindent 6 }}
    volumeMounts:
      - {name: secrets, mountPath: /run/secrets/doran, readOnly: true}
volumes:
  - name: secrets
    secret:
      secretName: {{ .root.Values.existingSecret }}
      defaultMode: 0440
      items:
        {{- range $key, $_ := include "doran.secrets" .service | fromYaml }}
        - {key: {{ $key }}, path: {{ $key }}}
        {{- end }}
{{- end }}
