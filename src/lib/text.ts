/** Words for people. */

/** So many names in a sentence; the rest is a number: `a, b, c, d, e and 7 more`. */
export const firstFew = (names: readonly string[], most = 5): string =>
  `${names.slice(0, most).join(', ')}${names.length > most ? ` and ${names.length - most} more` : ''}`;
