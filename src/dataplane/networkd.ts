/** Whether systemd-networkd with these configuration texts, the strongest last, deletes what it did not make: PURE. */
export function networkdManagesForeign(configurations: readonly string[]): boolean {
  const settings = new Map([
    ['ManageForeignRoutes', true],
    ['ManageForeignNextHops', true],
  ]);
  for (const text of configurations) {
    for (const line of text.split('\n')) {
      const match = /^\s*(ManageForeignRoutes|ManageForeignNextHops)\s*=\s*(\S+)/.exec(line);
      const [, name, value] = match ?? [];
      if (name !== undefined && value !== undefined)
        settings.set(name, !['no', 'false', '0', 'off', 'n', 'f'].includes(value.toLowerCase()));
    }
  }
  return [...settings.values()].some(Boolean);
}
