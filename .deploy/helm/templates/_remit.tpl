{{/* The name of everything of this release. */}}
{{- define "remit.name" -}}
{{- printf "%s-remit" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "remit.labels" -}}
app.kubernetes.io/name: remit
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What every pod is: nobody's rights, nothing to write to but /tmp. */}}
{{- define "remit.pod" -}}
automountServiceAccountToken: {{ ne .Values.serviceAccount "" }}
{{- with .Values.serviceAccount }}
serviceAccountName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "remit.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
{{- with .Values.env }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/remit, readOnly: true}
  - {name: secrets, mountPath: /run/secrets, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "remit.volumes" -}}
- name: secrets
  secret: {secretName: {{ .Values.secret }}, defaultMode: 0440}
- name: tmp
  emptyDir: {}
{{- end }}

{{/* Alive is not ready: without its stores a process is kept, and not asked. */}}
{{- define "remit.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 10
  timeoutSeconds: 6
startupProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 5
  failureThreshold: 60
{{- end }}
