{{- define "autogpt.name" -}}
{{- if hasSuffix "operator" .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-operator" (.Release.Name | trunc 50 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "autogpt.selector" -}}
app.kubernetes.io/name: autogpt-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "autogpt.labels" -}}
{{ include "autogpt.selector" . }}
app.kubernetes.io/part-of: autogpt
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "autogpt.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}
