/**
 * Reads the words of one subcommand. PURE: words in, values or a sentence about the wrong word out, with the nearest
 * word that would have been right.
 */
import { fail, ok, type Result } from '#lib/result.ts';
import { nearest } from '#lib/nearest.ts';

export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** What stands for the value in the usage text; absent: the option is a switch. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly help: string;
}

interface ArgumentSpec {
  readonly name: string;
  readonly required: boolean;
  /** Only of the last: any number of words. */
  readonly repeated?: boolean;
  readonly help: string;
}

export interface CommandSpec {
  /** One word or two: `peers`, `cni install`. */
  readonly name: string;
  readonly summary: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  readonly examples?: readonly string[];
}

export interface Parsed {
  readonly values: ReadonlyMap<string, string>;
  readonly switches: ReadonlySet<string>;
  readonly words: readonly string[];
  readonly help: boolean;
}

export const didYouMean = (word: string, candidates: readonly string[]): string => {
  const near = nearest(word, candidates);
  return near === undefined ? '' : `; did you mean ${near}?`;
};

export function parseArguments(spec: CommandSpec, argv: readonly string[]): Result<Parsed, string> {
  const values = new Map<string, string>();
  const switches = new Set<string>();
  const words: string[] = [];
  let help = false;
  let onlyWords = false;
  const dashed = spec.options.map((option) => `--${option.name}`);

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (onlyWords || !word.startsWith('-') || word === '-') {
      words.push(word);
      continue;
    }
    if (word === '--') {
      onlyWords = true;
      continue;
    }
    if (word === '--help' || word === '-h') {
      help = true;
      continue;
    }
    const equals = word.indexOf('=');
    const key = equals < 0 ? word : word.slice(0, equals);
    // `-ojson` is what kubectl users type.
    const attached = /^-[a-z]./.test(word) && equals < 0 && !word.startsWith('--');
    const name = attached ? word.slice(0, 2) : key;
    const option = spec.options.find(
      (o) => `--${o.name}` === name || (o.short !== undefined && `-${o.short}` === name),
    );
    if (option === undefined) {
      return fail(`unknown option ${key} for \`flatroute ${spec.name}\`${didYouMean(key, [...dashed, '--help'])}`);
    }
    if (option.value === undefined) {
      if (equals >= 0 || attached) return fail(`option --${option.name} takes no value`);
      switches.add(option.name);
      continue;
    }
    let value: string | undefined;
    if (equals >= 0) value = word.slice(equals + 1);
    else if (attached) value = word.slice(2);
    else {
      i++;
      value = argv[i];
    }
    if (value === undefined || value === '')
      return fail(`option --${option.name} needs a value: --${option.name} ${option.value}`);
    if (option.choices !== undefined && !option.choices.includes(value)) {
      return fail(
        `--${option.name} ${value} is not known: ${option.choices.join(', ')}${didYouMean(value, option.choices)}`,
      );
    }
    if (values.has(option.name)) return fail(`option --${option.name} is given twice`);
    values.set(option.name, value);
  }
  if (help) return ok({ values, switches, words, help });
  const missing = spec.arguments.filter((argument) => argument.required)[words.length];
  if (missing !== undefined) return fail(`${missing.name} is missing: \`${usageLine(spec)}\``);
  const extra = spec.arguments.at(-1)?.repeated === true ? undefined : words[spec.arguments.length];
  if (extra !== undefined) return fail(`unexpected word ${JSON.stringify(extra)} after \`flatroute ${spec.name}\``);
  return ok({ values, switches, words, help });
}

function usageLine(spec: CommandSpec): string {
  const parts = ['flatroute', spec.name];
  for (const argument of spec.arguments) {
    const more = argument.repeated === true ? '...' : '';
    parts.push(argument.required ? argument.name + more : `[${argument.name}${more}]`);
  }
  if (spec.options.length > 0) parts.push('[options]');
  return parts.join(' ');
}

/** The help text of one subcommand. */
export function usageText(spec: CommandSpec): string {
  const lines = [spec.summary, '', `  ${usageLine(spec)}`, ''];
  const rows: [string, string][] = [
    ...spec.arguments.map((argument): [string, string] => [argument.name, argument.help]),
    ...spec.options.map((option): [string, string] => [
      `${option.short === undefined ? '' : `-${option.short}, `}--${option.name}${option.value === undefined ? '' : ` ${option.value}`}`,
      option.help,
    ]),
  ];
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  for (const [left, right] of rows) lines.push(`  ${left.padEnd(width)}  ${right}`);
  if (spec.examples !== undefined && spec.examples.length > 0) {
    lines.push('', ...spec.examples.map((example) => `  $ ${example}`));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}
