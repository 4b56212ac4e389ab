/** Prefix of the names of system metrics, as in MLflow. */
const SYSTEM = 'system/';

/** Names of the metrics that the code of a run logged, or of its system metrics. */
export function metricNames(metrics: Record<string, unknown>, system = false): string[] {
  return Object.keys(metrics).filter(name => name.startsWith(SYSTEM) === system);
}

/**
 * Label of a system metric, for example `peak memory megabytes`. The label of the cost contains the currency, that of
 * the energy tells whether it was measured or estimated.
 */
export function resourceName(name: string, tags: Record<string, string>): string {
  const plain = name.slice(SYSTEM.length).replace(/[_/]+/g, ' ');
  const about = { cost: tags['mlops.currency'], 'energy wh': tags['mlops.energy'] }[plain];
  return about ? `${plain} (${about})` : plain;
}
