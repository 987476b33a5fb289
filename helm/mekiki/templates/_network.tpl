{{/* Where a network policy lets pods go, and from where others come. */}}

{{/* The namespace of a Service by its name in DNS; of a bare name the release's; of any other host nothing.
     Arguments: root, host. */}}
{{- define "mekiki.namespaceOf" -}}
{{- if regexMatch "^[a-z0-9-]+$" .host -}}
{{- .root.Release.Namespace -}}
{{- else if regexMatch "[.][a-z0-9-]+[.]svc([.]|$)" .host -}}
{{- regexReplaceAll "^.*[.]([a-z0-9-]+)[.]svc([.].*)?$" .host "${1}" -}}
{{- end -}}
{{- end -}}

{{/* Of a host that is an address: the block of it alone. */}}
{{- define "mekiki.blockOf" -}}
{{- if regexMatch "^[0-9]+([.][0-9]+){3}$" . -}}
{{- printf "%s/32" . -}}
{{- else if regexMatch "^[[][0-9a-fA-F:.]+[]]$" . -}}
{{- printf "%s/128" (trimAll "[]" .) -}}
{{- end -}}
{{- end -}}

{{/* The brokers: networkPolicy.kafkaPeers, else the namespaces that their names tell, or their addresses. */}}
{{- define "mekiki.kafkaPeers" -}}
{{- $peers := .Values.networkPolicy.kafkaPeers -}}
{{- if not $peers -}}
{{- range splitList "," (dig "kafka" "bootstrap_servers" "" .Values.settings) -}}
{{- $host := regexReplaceAll ":[0-9]+$" (trim .) "" -}}
{{- $namespace := include "mekiki.namespaceOf" (dict "root" $ "host" $host) -}}
{{- $block := include "mekiki.blockOf" $host -}}
{{- if $block -}}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" $block)) -}}
{{- else if $namespace -}}
{{- $peers = append $peers (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" $namespace))) -}}
{{- else -}}
{{- fail (printf "networkPolicy.kafkaPeers is empty, and %s is no Service whose name tells its namespace: name the peers, such as [{ipBlock: {cidr: 10.20.0.0/16}}]" $host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- uniq $peers | toYaml -}}
{{- end -}}

{{/* Whoever answers at a host: the namespace that its name tells, else everywhere but link-local.
     Arguments: root, host. */}}
{{- define "mekiki.peersOf" -}}
{{- with include "mekiki.namespaceOf" . -}}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- else -}}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::254/128"]}
{{- end -}}
{{- end -}}

{{/* Peers are named: one of every namespace would let in anybody's pod. */}}
{{- define "mekiki.peerChecks" -}}
{{- range $list := list "kafkaPeers" "dnsPeers" "metricsFrom" "searchFrom" "consoleFrom" -}}
{{- range $peer := get $.Values.networkPolicy $list -}}
{{- if and (hasKey $peer "namespaceSelector") (not $peer.namespaceSelector) -}}
{{- fail (printf "networkPolicy.%s has a namespaceSelector of every namespace: name it, as {matchLabels: {kubernetes.io/metadata.name: shop}}" $list) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
