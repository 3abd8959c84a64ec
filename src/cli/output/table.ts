/**
 * Tables for people. PURE: rows in, lines out. Where the terminal is too narrow, columns that may go are left out (the
 * highest `drop` first), then the columns that may shrink are cut; with no width given nothing is cut.
 */
import { type Colour, paint, printable, textWidth, truncate, wrap } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'left' | 'right';
  readonly colour?: (row: Row) => Colour | undefined;
  /** May be left out where room is scarce; the highest number goes first. Absent: stays. */
  readonly drop?: number;
  /** May be cut down to this many columns. */
  readonly shrinkTo?: number;
}

export interface TableOptions {
  /** Columns of the terminal; `undefined`: as wide as needed. */
  readonly width: number | undefined;
  readonly colour: boolean;
}

export interface Note {
  readonly text: string;
  readonly colour?: Colour;
}

const GAP = 2;

/** Renders lines without a newline at their ends. `notes` stand below the row that they belong to. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: TableOptions,
  notes: (row: Row) => readonly Note[] = () => [],
): readonly string[] {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row)) || '–'));
  const natural = columns.map((column, c) =>
    Math.max(textWidth(column.title), ...cells.map((row) => textWidth(row[c] ?? ''))),
  );
  const shown = new Set(columns.map((_, c) => c));
  const widths = [...natural];
  const total = (): number => [...shown].reduce((sum, c) => sum + (widths[c] ?? 0), 0) + GAP * (shown.size - 1);
  const room = options.width ?? Number.POSITIVE_INFINITY;

  const droppable = columns
    .map((column, c) => ({ c, drop: column.drop }))
    .filter((entry): entry is { c: number; drop: number } => entry.drop !== undefined)
    .sort((a, b) => b.drop - a.drop);
  const shrinkable = columns
    .map((column, c) => ({ c, to: column.shrinkTo }))
    .filter((entry): entry is { c: number; to: number } => entry.to !== undefined);
  const shrunkTotal = (): number =>
    total() -
    shrinkable
      .filter(({ c }) => shown.has(c))
      .reduce(
        (sum, { c, to }) => sum + Math.max(0, (natural[c] ?? 0) - Math.max(to, textWidth(columns[c]?.title ?? ''))),
        0,
      );

  for (const { c } of droppable) {
    if (shrunkTotal() <= room) break;
    shown.delete(c);
  }
  for (const { c, to } of shrinkable) {
    const excess = total() - room;
    if (excess <= 0) break;
    if (!shown.has(c)) continue;
    const least = Math.max(to, textWidth(columns[c]?.title ?? ''));
    widths[c] = Math.min(natural[c] ?? 0, Math.max(least, (natural[c] ?? 0) - excess));
  }

  const order = columns.map((column, c) => ({ column, c })).filter(({ c }) => shown.has(c));
  const line = (texts: readonly string[], colourOf: (c: number) => Colour | undefined): string =>
    order
      .map(({ column, c }, i) => {
        const text = truncate(texts[c] ?? '', widths[c] ?? 0);
        const padding = ' '.repeat(Math.max(0, (widths[c] ?? 0) - textWidth(text)));
        const colour = colourOf(c);
        const painted = colour === undefined ? text : paint(colour, text, options.colour);
        if (column.align === 'right') return `${padding}${painted}`;
        return i === order.length - 1 ? painted : `${painted}${padding}`;
      })
      .join(' '.repeat(GAP))
      .trimEnd();

  const lines = [
    line(
      columns.map((column) => column.title),
      () => 'bold',
    ),
  ];
  rows.forEach((row, r) => {
    lines.push(line(cells[r] ?? [], (c) => columns[c]?.colour?.(row)));
    for (const note of notes(row)) lines.push(...noteLines(note, options, widths[order[0]?.c ?? 0] ?? 0));
  });
  return lines;
}

/** A note hangs below its row: `└─ text`, further lines under the text. */
export function noteLines(note: Note, options: TableOptions, indent: number): readonly string[] {
  const margin = Math.min(indent + GAP, 8);
  const room = options.width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, options.width - margin - 3);
  return wrap(printable(note.text), room).map((text, i) => {
    const lead = `${' '.repeat(margin)}${i === 0 ? '└─ ' : '   '}`;
    return `${lead}${note.colour === undefined ? text : paint(note.colour, text, options.colour)}`;
  });
}
