/** How long ago something was, in the short form that kubectl users know: 41s, 2h14m, 3d4h. PURE. */
export function age(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 120) return `${s}s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 || days > 99 ? `${days}d` : `${days}d${hours % 24}h`;
}

/** The same for a point in time as RFC 3339 text. */
export function ageSince(since: string | undefined, nowMilliseconds: number): string {
  if (since === undefined) return '';
  const at = Date.parse(since);
  return Number.isNaN(at) ? '' : age((nowMilliseconds - at) / 1000);
}

/** Seconds with a unit that suits their size. */
export function shortSeconds(value: number): string {
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(1)} ms`;
  return `${value.toFixed(1)} s`;
}
