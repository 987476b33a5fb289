{{/* Parts of a pod that all roles share. */}}

{{- define "mekiki.image" -}}
{{- $tag := default .root.Chart.AppVersion .root.Values.image.tag -}}
{{- printf "%s:%s%s" .root.Values.image.repository $tag (ternary .root.Values.image.cudaTagSuffix "" .cuda) -}}
{{- end -}}

{{- define "mekiki.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "mekiki.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod runs. Arguments: role (its values), selector (labels as YAML), hash. */}}
{{- define "mekiki.scheduling" -}}
{{- with .role.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .role.topologyKeys }}
topologySpreadConstraints:
{{- range .role.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $.selector | nindent 8 }}
    matchLabelKeys: [{{ $.hash }}]
{{- end }}
{{- end }}
{{- end -}}

{{/* A name that no other worker on the cluster has, and that outlives a restart of the container:
     open transactions of the one before end at once. */}}
{{- define "mekiki.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: MEKIKI_KAFKA__TRANSACTIONAL_ID
  value: mekiki-$(POD_NAMESPACE)-$(POD_NAME)
{{- end -}}

{{/* Arguments: startupSeconds, port (its name). */}}
{{- define "mekiki.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 5
  failureThreshold: {{ div (add (int .startupSeconds) 4) 5 }}
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 1
{{- end -}}

{{- define "mekiki.mounts" -}}
- {name: config, mountPath: /etc/mekiki/mekiki.toml, subPath: mekiki.toml, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .Values.kafka.propertiesSecret.name }}
- {name: kafka, mountPath: /etc/mekiki/kafka, readOnly: true}
{{- end }}
{{- if .Values.kafka.tls.secret }}
- {name: kafka-tls, mountPath: /etc/mekiki/kafka-tls, readOnly: true}
{{- end }}
{{- if .Values.bundle.signatureKeys }}
- {name: signature-keys, mountPath: /etc/mekiki/signature-keys, readOnly: true}
{{- end }}
{{- if or .Values.bundle.image .Values.bundle.existingClaim .Values.bundle.url }}
- name: bundle
  mountPath: /bundle
  readOnly: true
{{- with .Values.bundle.subPath }}
  subPath: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Arguments: root, config (the ConfigMap's name). */}}
{{- define "mekiki.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with .root.Values.kafka.propertiesSecret }}
{{- if .name }}
- name: kafka
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- with .root.Values.kafka.tls.secret }}
- name: kafka-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.bundle.image }}
- name: bundle
  image: {reference: {{ . | quote }}, pullPolicy: IfNotPresent}
{{- end }}
{{- with .root.Values.bundle.existingClaim }}
- name: bundle
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- if .root.Values.bundle.url }}
- name: bundle
  emptyDir: {}
{{- with .root.Values.bundle.registrySecret }}
- name: registry
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: .dockerconfigjson, path: config.json}]
{{- end }}
{{- end }}
{{- if .root.Values.bundle.signatureKeys }}
- name: signature-keys
  configMap: {name: {{ include "mekiki.fullname" .root }}-signature-keys}
{{- end }}
{{- end -}}

{{/* Brings the bundle of bundle.url before a worker starts. Arguments: root, image, env, resources. */}}
{{- define "mekiki.initContainers" -}}
{{- with .root.Values.bundle.url }}
initContainers:
  - name: bundle
    image: {{ $.image }}
    imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
    args: [bundle, pull, {{ . | quote }}, /bundle{{ with $.root.Values.bundle.sha256 }}, --sha256, {{ . | quote }}{{ end }}]
    {{- $registry := ternary (list (dict "name" "DOCKER_CONFIG" "value" "/etc/mekiki/registry")) list (not (empty $.root.Values.bundle.registrySecret)) }}
    {{- with concat $registry $.root.Values.bundle.extraEnv $.env }}
    env: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- include "mekiki.containerSecurity" $.root | nindent 4 }}
    resources: {{- toYaml $.resources | nindent 6 }}
    volumeMounts:
      - {name: bundle, mountPath: /bundle}
      - {name: tmp, mountPath: /tmp}
      {{- if $.root.Values.bundle.registrySecret }}
      - {name: registry, mountPath: /etc/mekiki/registry, readOnly: true}
      {{- end }}
{{- end }}
{{- end -}}
