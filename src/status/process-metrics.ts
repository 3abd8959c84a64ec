/** What a process says of itself: memory, CPU, files, heap. Of Node's default metrics the rest is left out, because 5,000 agents say it. */
import { collectDefaultMetrics, type Registry } from 'prom-client';

const wanted = /^process_|^nodejs_(heap_size_(used|total)_bytes|external_memory_bytes|version_info)$/;

export function collectProcessMetrics(registry: Registry): void {
  // Its looks at the event loop's delay are every 10 ms by default, which keeps an idle machine awake.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  for (const { name } of registry.getMetricsAsArray()) if (!wanted.test(name)) registry.removeSingleMetric(name);
}
