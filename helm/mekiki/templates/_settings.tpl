{{/*
What the chart owns in the settings: files that it mounts. Everything else is the reader's.
*/}}
{{- define "mekiki.ownedSettings" -}}
{{- $kafka := dict -}}
{{- $properties := dict -}}
{{- with .Values.kafka.propertiesSecret.name -}}
{{- $_ := set $kafka "properties_file" (printf "/etc/mekiki/kafka/%s" $.Values.kafka.propertiesSecret.key) -}}
{{- end -}}
{{- if .Values.kafka.tls.secret -}}
{{- $_ := set $properties "ssl.ca.location" "/etc/mekiki/kafka-tls/ca.crt" -}}
{{- if .Values.kafka.tls.clientCertificate -}}
{{- $_ := set $properties "ssl.certificate.location" "/etc/mekiki/kafka-tls/tls.crt" -}}
{{- $_ := set $properties "ssl.key.location" "/etc/mekiki/kafka-tls/tls.key" -}}
{{- end -}}
{{- $_ := set $kafka "properties" $properties -}}
{{- end -}}
{{- $owned := dict -}}
{{- if $kafka -}}{{- $_ := set $owned "kafka" $kafka -}}{{- end -}}
{{- $model := dict -}}
{{- if or .Values.bundle.image .Values.bundle.existingClaim .Values.bundle.url -}}
{{- $_ := set $model "bundle" "/bundle" -}}
{{- end -}}
{{- if .Values.bundle.signatureKeys -}}
{{- $_ := set $model "signature_key" "/etc/mekiki/signature-keys/keys.pem" -}}
{{- end -}}
{{- if $model -}}{{- $_ := set $owned "model" $model -}}{{- end -}}
{{- toYaml $owned -}}
{{- end -}}

{{/* The settings of one score pool as YAML. Arguments: root, pool. */}}
{{- define "mekiki.poolSettings" -}}
{{- $settings := mergeOverwrite (deepCopy .root.Values.settings) (deepCopy .pool.settings) -}}
{{- $settings = mergeOverwrite $settings (include "mekiki.ownedSettings" .root | fromYaml) -}}
{{/* `mekiki check` looks at every section: a worker keeps no index, but has a folder that can be written. */}}
{{- $settings = mergeOverwrite $settings (dict "index" (dict "directory" "/tmp/index")) -}}
{{- if and .pool.gpu.enabled (not (dig "model" "provider" "" $settings)) -}}
{{- $settings = mergeOverwrite $settings (dict "model" (dict "provider" "cuda")) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* The settings of the index role as YAML. Argument: the root. */}}
{{- define "mekiki.indexSettings" -}}
{{- $settings := mergeOverwrite (deepCopy .Values.settings) (deepCopy .Values.index.settings) -}}
{{- if dig "index" "next" dict $settings -}}
{{- $settings = mergeOverwrite $settings (dict "index" (dict "serve" "/etc/mekiki/serve/index")) -}}
{{- end -}}
{{- mergeOverwrite $settings (include "mekiki.ownedSettings" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The settings of `mekiki reembed` as YAML. Argument: the root. */}}
{{- define "mekiki.reembedSettings" -}}
{{- $settings := mergeOverwrite (deepCopy .Values.settings) (deepCopy .Values.reembed.settings) -}}
{{- mergeOverwrite $settings (include "mekiki.ownedSettings" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The settings of the console as YAML. Argument: the root. */}}
{{- define "mekiki.consoleSettings" -}}
{{- $settings := mergeOverwrite (deepCopy .Values.settings) (deepCopy .Values.console.settings) -}}
{{- $own := dict "host" "0.0.0.0" -}}
{{- if not (dig "console" "sign_in" "" $settings) -}}{{- $_ := set $own "sign_in" "tokens" -}}{{- end -}}
{{- if include "mekiki.consoleOnVolume" . -}}
{{- $_ := set $own "database" "sqlite:////var/lib/mekiki/console/console.db" -}}
{{- end -}}
{{- if and .Values.index.enabled (not (dig "console" "search_url" "" $settings)) -}}
{{- $_ := set $own "search_url" (printf "http://%s-index:%d" (include "mekiki.fullname" .) (int .Values.index.service.port)) -}}
{{- end -}}
{{- with .Values.console.ingress -}}
{{- if and .enabled (not (dig "console" "url" "" $settings)) -}}
{{- $_ := set $own "url" (printf "%s://%s" (ternary "https" "http" (not (empty .tlsSecret))) .host) -}}
{{- end -}}
{{- end -}}
{{- range $kind, $secret := include "mekiki.consoleSecrets" . | fromYaml -}}
{{- $_ := set $own (printf "%s_file" $kind) (printf "/etc/mekiki/%s/%s" $kind $secret.key) -}}
{{- end -}}
{{- $settings = mergeOverwrite $settings (dict "console" $own) -}}
{{- mergeOverwrite $settings (include "mekiki.ownedSettings" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The settings of the webhooks as YAML: `mekiki webhooks` runs no model. Argument: the root. */}}
{{- define "mekiki.webhooksSettings" -}}
{{- $settings := mergeOverwrite (deepCopy .Values.settings) (deepCopy .Values.webhooks.settings) -}}
{{- $settings = mergeOverwrite $settings (dict "webhooks" (dict "secret_file" (printf "/etc/mekiki/secret/%s" .Values.webhooks.secret.key))) -}}
{{- $url := "" -}}
{{- if .Values.console.enabled -}}{{- $url = include "mekiki.consoleSettings" . | fromYaml | dig "console" "url" "" -}}{{- end -}}
{{- with $url -}}{{- $settings = mergeOverwrite $settings (dict "console" (dict "url" .)) -}}{{- end -}}
{{- mergeOverwrite $settings (include "mekiki.ownedSettings" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The console's Secrets that are files, by the setting that names each. Argument: the root. */}}
{{- define "mekiki.consoleSecrets" -}}
{{- $secrets := dict -}}
{{- range $kind, $secret := dict "tokens" .Values.console.tokens "secret" .Values.console.sessions -}}
{{- if $secret.secret -}}{{- $_ := set $secrets $kind $secret -}}{{- end -}}
{{- end -}}
{{- toYaml $secrets -}}
{{- end -}}

{{/* Not empty where the console's database is SQLite on a volume. Argument: the root. */}}
{{- define "mekiki.consoleOnVolume" -}}
{{- $settings := mergeOverwrite (deepCopy .Values.settings) (deepCopy .Values.console.settings) -}}
{{- if not (or .Values.console.database.secret (dig "console" "database" "" $settings)) -}}true{{- end -}}
{{- end -}}

{{/* A pool with what it does not say taken from `score`. Arguments: root, name. */}}
{{- define "mekiki.pool" -}}
{{- $base := omit (deepCopy .root.Values.score) "pools" "enabled" -}}
{{- mergeOverwrite $base (deepCopy (default dict (get .root.Values.score.pools .name))) | toYaml -}}
{{- end -}}

{{- define "mekiki.drainTimeout" -}}
{{- dig "score" "drain_timeout" 20 . | float64 | ceil | int -}}
{{- end -}}

{{- define "mekiki.httpPort" -}}
{{- dig "http" "port" 9464 . | int -}}
{{- end -}}

{{- define "mekiki.uploadedTopic" -}}
{{- dig "topics" "uploaded" "listing.image.uploaded.v1" . -}}
{{- end -}}
