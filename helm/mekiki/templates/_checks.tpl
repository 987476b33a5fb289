{{/* What a schema cannot say. Argument: the root. */}}
{{- define "mekiki.checks" -}}
{{- if and .Values.bundle.image .Values.bundle.existingClaim -}}
{{- fail "bundle.image and bundle.existingClaim are both set: the models come from one place, clear the other" -}}
{{- end -}}
{{- if and .Values.bundle.url (or .Values.bundle.image .Values.bundle.existingClaim .Values.bundle.subPath) -}}
{{- fail "bundle.url is set beside another bundle.*: the models come from one place, clear the others" -}}
{{- end -}}
{{- if and .Values.kafka.tls.clientCertificate (not .Values.kafka.tls.secret) -}}
{{- fail "kafka.tls.clientCertificate needs kafka.tls.secret: name the Secret that holds tls.crt and tls.key" -}}
{{- end -}}
{{- if and .Values.score.enabled (not .Values.score.pools) -}}
{{- fail "score.pools is empty: keep one pool, or set score.enabled=false" -}}
{{- end -}}
{{- if eq (dig "index" "backend" "ngt" .Values.settings) "vald" -}}
{{- if not (regexMatch ":[0-9]+$" (dig "index" "vald" "address" "" .Values.settings)) -}}
{{- fail "settings.index.backend is vald: set settings.index.vald.address to HOST:PORT of its gateway" -}}
{{- end -}}
{{- if gt (int .Values.index.replicas) 1 -}}
{{- fail "settings.index.backend is vald: one role writes to a cluster, so set index.replicas=1" -}}
{{- end -}}
{{- end -}}
{{- if .Values.console.enabled -}}
{{- include "mekiki.consoleChecks" . -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
{{- include "mekiki.peerChecks" . -}}
{{- end -}}
{{- if .Values.webhooks.enabled -}}
{{- if not (dig "webhooks" "urls" list (include "mekiki.webhooksSettings" . | fromYaml)) -}}
{{- fail "webhooks: set settings.webhooks.urls: there is nobody to tell" -}}
{{- end -}}
{{- if not .Values.webhooks.secret.secret -}}
{{- fail "webhooks: set webhooks.secret.secret: a Secret with lines of whsec_BASE64 that sign" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.index.serve "next") (not (dig "index" "next" dict (include "mekiki.indexSettings" . | fromYaml))) -}}
{{- fail "index.serve is next, and there is none: set settings.index.next" -}}
{{- end -}}
{{- if and .Values.reembed.enabled (not (dig "index" "next" dict (include "mekiki.reembedSettings" . | fromYaml))) -}}
{{- fail "reembed is enabled without settings.index.next: its bundle, and the topic that is to be filled by it" -}}
{{- end -}}
{{- $partitions := dig "topics" "partitions" 4 .Values.settings | int -}}
{{- $workers := 0 -}}
{{- if .Values.score.enabled -}}
{{- range $name, $_ := .Values.score.pools -}}
{{- $pool := include "mekiki.pool" (dict "root" $ "name" $name) | fromYaml -}}
{{- include "mekiki.poolChecks" (dict "root" $ "name" $name "pool" $pool) -}}
{{- if or $pool.autoscaling.keda.enabled $pool.autoscaling.hpa.enabled -}}
{{- $workers = add $workers $pool.autoscaling.maxReplicas -}}
{{- else -}}
{{- $workers = add $workers $pool.replicas -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if gt (int $workers) $partitions -}}
{{- fail (printf "the score pools may have %d workers, but settings.topics.partitions is %d: a worker without a partition is idle. Lower replicas or autoscaling.maxReplicas, or add partitions" (int $workers) $partitions) -}}
{{- end -}}
{{- end -}}

{{/* Argument: the root. */}}
{{- define "mekiki.consoleChecks" -}}
{{- $settings := include "mekiki.consoleSettings" . | fromYaml -}}
{{- $signIn := $settings.console.sign_in -}}
{{- if eq $signIn "none" -}}
{{- fail "console: settings.console.sign_in is none, which is for a machine of one's own: set it to tokens or proxy" -}}
{{- end -}}
{{- if and (eq $signIn "tokens") (not $settings.console.tokens_file) -}}
{{- fail "console: sign-in by tokens needs console.tokens.secret: a Secret with lines of NAME viewer|reviewer SHA256-of-token" -}}
{{- end -}}
{{- if and (eq $signIn "proxy") (not $settings.console.trusted_proxies) -}}
{{- fail "console: sign-in by a proxy needs settings.console.trusted_proxies: the networks that it asks from" -}}
{{- end -}}
{{- if and .Values.console.ingress.enabled (not .Values.console.ingress.host) -}}
{{- fail "console.ingress is enabled without a host: set console.ingress.host" -}}
{{- end -}}
{{- end -}}

{{/* Arguments: root, name, pool. */}}
{{- define "mekiki.poolChecks" -}}
{{- $scaling := .pool.autoscaling -}}
{{- if and $scaling.keda.enabled $scaling.hpa.enabled -}}
{{- fail (printf "score pool %q: autoscaling.keda and autoscaling.hpa are both enabled and would fight over its replicas: switch one off" .name) -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "score pool %q: autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d)" .name (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- $settings := include "mekiki.poolSettings" (dict "root" .root "pool" .pool) | fromYaml -}}
{{- $provider := dig "model" "provider" "cpu" $settings -}}
{{- if and (has $provider (list "cuda" "tensorrt")) (not .pool.gpu.enabled) -}}
{{- fail (printf "score pool %q: model.provider is %s without a GPU: set gpu.enabled=true for the pool" .name $provider) -}}
{{- end -}}
{{- if and .pool.gpu.enabled (not (has $provider (list "cuda" "tensorrt"))) -}}
{{- fail (printf "score pool %q: gpu.enabled is true, but model.provider is %s: the GPU would be idle" .name $provider) -}}
{{- end -}}
{{- $drain := include "mekiki.drainTimeout" $settings | int -}}
{{- with .pool.terminationGracePeriodSeconds -}}
{{- if le (int .) $drain -}}
{{- fail (printf "score pool %q: terminationGracePeriodSeconds (%d) must be longer than score.drain_timeout (%d), or a drain is cut off" $.name (int .) $drain) -}}
{{- end -}}
{{- end -}}
{{- end -}}
