/**
 * The chart's template for the Prometheus operator: PodMonitors, and deploy/monitoring/rules.yaml as a PrometheusRule, so that the
 * alerts are written once. What is Prometheus' own template in them is kept from Helm; the page of the runbooks is a value.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const labels = (component: string): string =>
  `{ app.kubernetes.io/name: flatroute, app.kubernetes.io/component: ${component} }`;

/** Job and instance as alerts and dashboard have them: agents by node, replicas of the controller by pod. */
const podMonitor = (component: string, instance: string): string => `apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: flatroute-${component}
  namespace: flatroute-system
  labels: ${labels(component)}
spec:
  selector: { matchLabels: ${labels(component)} }
  podMetricsEndpoints:
    - port: metrics
      interval: 30s
      relabelings:
        - { targetLabel: job, replacement: flatroute-${component} }
        - { sourceLabels: [${instance}], targetLabel: instance }
`;

export function monitoringTemplate(): string {
  const rules = readFileSync(join(import.meta.dirname, '../deploy/monitoring/rules.yaml'), 'utf8')
    .replace(/^(#.*\n)+/, '')
    .replaceAll(/\{\{ (.*?) \}\}/g, '{{ "{{" }} $1 {{ "}}" }}')
    .replaceAll(/runbook_url: [^#\n]+(#\S+)/g, 'runbook_url: {{ printf "%s$1" .Values.monitoring.runbooks | toJson }}')
    .replaceAll(/^(?=.)/gm, '  ');
  return `# Generated from deploy/monitoring: npm run generate
{{- if .Values.monitoring.podMonitors }}
${podMonitor('agent', '__meta_kubernetes_pod_node_name')}---
${podMonitor('controller', '__meta_kubernetes_pod_name')}---
{{- end }}
{{- if .Values.monitoring.rules }}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: flatroute
  namespace: flatroute-system
  labels: { app.kubernetes.io/name: flatroute }
spec:
${rules}{{- end }}
`;
}
