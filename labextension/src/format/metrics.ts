/** Resources that a run used are metrics whose names begin so, as MLflow has it. */
const SYSTEM = 'system/';

/** Names of the metrics that a run's code logged, or of the resources it used. */
export function metricNames(metrics: Record<string, unknown>, system = false): string[] {
  return Object.keys(metrics).filter(name => name.startsWith(SYSTEM) === system);
}

/**
 * Name of a resource as it is shown: `peak memory megabytes`; of money and energy with their tags: a currency, and
 * whether it was measured.
 */
export function resourceName(name: string, tags: Record<string, string>): string {
  const plain = name.slice(SYSTEM.length).replace(/[_/]+/g, ' ');
  const about = { cost: tags['mlops.currency'], 'energy wh': tags['mlops.energy'] }[plain];
  return about ? `${plain} (${about})` : plain;
}
