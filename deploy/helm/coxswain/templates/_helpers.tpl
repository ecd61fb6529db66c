{{- define "coxswain.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "coxswain.peers" -}}
{{ include "coxswain.fullname" . }}-peers
{{- end -}}

{{/* What the host name of each pod ends with. */}}
{{- define "coxswain.peersDomain" -}}
{{ include "coxswain.peers" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "coxswain.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coxswain.labels" -}}
{{ include "coxswain.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The secret of a listener's certificate, empty where it has none: (list . "api"). */}}
{{- define "coxswain.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $listener := index . 1 -}}
{{- $tls := index $root.Values.tls $listener -}}
{{- if $tls.secretName -}}
{{ $tls.secretName }}
{{- else if $tls.issuer.name -}}
{{ include "coxswain.fullname" $root }}-{{ $listener }}-tls
{{- end -}}
{{- end -}}

{{/* http or https: (list . "api"). */}}
{{- define "coxswain.scheme" -}}
{{- if include "coxswain.tlsSecret" . }}https{{ else }}http{{ end -}}
{{- end -}}

{{/* Every member: ids are the ordinals of the pods and one. */}}
{{- define "coxswain.initialMembers" -}}
{{- $members := list -}}
{{- range $ordinal := until (int .Values.replicas) -}}
{{- $members = append $members (printf "%d=%s-%d.%s:5012" (add1 $ordinal) (include "coxswain.fullname" $) $ordinal (include "coxswain.peersDomain" $)) -}}
{{- end -}}
{{- join "," $members -}}
{{- end -}}
