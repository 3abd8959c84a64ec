/**
 * Schemas as values: one value says what a field may hold, reads it from untrusted data, and describes itself for the
 * reference pages and the CRDs; TypeScript types are inferred from it. Data in: what a YAML parser or the API gave.
 * Data out: a value of the inferred type with defaults filled in, or problems, each with the path of the field, what is
 * wrong and what is allowed. Nothing here throws on foreign input. docs/decisions/0002-schema.md says why no library.
 */

import { hint } from './hint.ts';

export type Path = readonly (string | number)[];

/** Stable codes of docs/errors.md for what can be wrong inside an object. */
export type FieldCode =
  | 'CONFIG_UNKNOWN_FIELD'
  | 'CONFIG_MISSING_FIELD'
  | 'CONFIG_WRONG_TYPE'
  | 'CONFIG_OUT_OF_BOUNDS'
  | 'CONFIG_INVALID_VALUE'
  | 'CONFIG_RULE_BROKEN';

export interface FieldProblem {
  readonly path: Path;
  /** Where a reader should look: at the field's name, or at its value. */
  readonly at: 'key' | 'value';
  readonly code: FieldCode;
  /** What is wrong and what is allowed, without the field's name and without a full stop. */
  readonly text: string;
}

/**
 * One validation rule for two evaluators: the API server reads `cel`, this program runs `holds`; both say `sentence`.
 * `{name}` in the sentence stands for `fill[name]`, `{value}` for the value itself.
 */
export interface Rule<T> {
  /**
   * CEL over the raw object as the API server sees it; `undefined` where CEL cannot say it, then only this program does.
   * Of several rules of a single value each is asked only when those before it hold.
   */
  readonly cel: string | undefined;
  /** `cel` relies on no rule before it: it can be evaluated whether they hold or not. */
  readonly celAlone?: boolean;
  /** What `cel` cannot see of the rule: an object that breaks only this is taken by the API server. */
  readonly celGap?: string;
  readonly holds: (value: T) => boolean;
  readonly sentence: string;
  /** Without `cel` the API server says the sentence without it. */
  readonly fill?: Readonly<Record<string, { readonly cel?: string; readonly text: (value: T) => string }>>;
  /** Field that the problem is shown at, relative to the value; the value itself when absent. */
  readonly path?: Path;
}

/** What may become of a stored object, in CEL over `self` and `oldSelf`; only the API server has both. */
export interface ChangeRule {
  readonly cel: string;
  readonly sentence: string;
  readonly path: Path;
}

/** What changing a field does to a running session. */
export type ResetClass = 'none' | 'refresh' | 'reset';

export const invalid: unique symbol = Symbol('invalid');
export type Invalid = typeof invalid;

/** What a schema says about itself: for documentation and CRDs. */
export type Shape =
  | {
      readonly kind: 'string';
      /** What the text is, for people: `prefix`, `duration`. */
      readonly type: string;
      readonly minLength: number;
      readonly maxLength: number;
      readonly values?: readonly string[];
      readonly secret?: boolean;
    }
  | { readonly kind: 'integer'; readonly minimum: number; readonly maximum: number }
  | { readonly kind: 'integerOrString'; readonly type: string; readonly maxLength: number }
  | { readonly kind: 'boolean' }
  | {
      readonly kind: 'list';
      readonly items: Schema<unknown>;
      readonly minItems: number;
      readonly maxItems: number;
      readonly unique?: Unique;
    }
  | {
      readonly kind: 'map';
      readonly values: Schema<unknown>;
      readonly keys: Rule<string>;
      readonly maxProperties: number;
    }
  | {
      readonly kind: 'object';
      readonly fields: Readonly<Record<string, Field<unknown>>>;
      /** Known fields that are accepted and not read, such as what the API server adds. */
      readonly ignored: readonly string[];
      /** Server-side apply takes the object as one value: its fields belong together. */
      readonly atomic: boolean;
      readonly changes: readonly ChangeRule[];
    };

/**
 * What no two entries of a list may share, as it is written: the entry itself, or one field of it. Such a list has an owner
 * for each entry (x-kubernetes-list-type `set` or `map`); any other is one value.
 */
export type Unique = 'entry' | { readonly field: string };

export interface Schema<T> {
  readonly shape: Shape;
  readonly rules: readonly Omit<Rule<never>, 'holds'>[];
  read(raw: unknown, path: Path, problems: FieldProblem[]): T | Invalid;
}

export type Infer<S> = S extends { read(raw: unknown, path: Path, problems: FieldProblem[]): infer R }
  ? Exclude<R, Invalid>
  : never;

export interface Field<T> {
  readonly schema: Schema<unknown>;
  readonly presence: 'required' | 'optional' | 'defaulted';
  /** What stands when the field is absent, as it would be written. */
  readonly default: unknown;
  /** The default in words, where it depends on something else. */
  readonly defaultText: string | undefined;
  readonly description: string;
  readonly reset: ResetClass | undefined;
  /** `raw` is `undefined` when the field is absent. */
  read(raw: unknown, path: Path, problems: FieldProblem[]): T | Invalid;
}

interface FieldWords {
  readonly description: string;
  readonly defaultText?: string;
  readonly reset?: ResetClass;
}

/** Kubernetes treats an explicit null as an absent field; so do we. */
const absent = (raw: unknown): boolean => raw === undefined || raw === null;

export function required<T>(schema: Schema<T>, words: FieldWords): Field<T> {
  return {
    ...wordsOf(words),
    schema,
    presence: 'required',
    default: undefined,
    read(raw, path, problems) {
      if (!absent(raw)) return schema.read(raw, path, problems);
      problems.push({
        path,
        at: 'key',
        code: 'CONFIG_MISSING_FIELD',
        text: `is required (${typeWords(schema.shape)})`,
      });
      return invalid;
    },
  };
}

export function optional<T>(schema: Schema<T>, words: FieldWords): Field<T | undefined> {
  return {
    ...wordsOf(words),
    schema,
    presence: 'optional',
    default: undefined,
    read: (raw, path, problems) => (absent(raw) ? undefined : schema.read(raw, path, problems)),
  };
}

/** `standing` is the default as it would be written in YAML. */
export function defaulted<T>(schema: Schema<T>, standing: unknown, words: FieldWords): Field<T> {
  return {
    ...wordsOf(words),
    schema,
    presence: 'defaulted',
    default: standing,
    read: (raw, path, problems) => schema.read(absent(raw) ? standing : raw, path, problems),
  };
}

const wordsOf = (words: FieldWords): Pick<Field<unknown>, 'description' | 'defaultText' | 'reset'> => ({
  description: words.description,
  defaultText: words.defaultText,
  reset: words.reset,
});

/** A foreign value in a message: quoted, one line, at most 60 characters. */
export function shown(value: unknown): string {
  const text =
    typeof value === 'bigint'
      ? String(value)
      : (JSON.stringify(value) ?? (value === undefined ? 'nothing' : typeof value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** `spec.filters[2]`, `metadata.annotations["flatroute.io/as-number"]`. */
export function fieldName(path: Path): string {
  let name = '';
  for (const step of path) {
    if (typeof step === 'number') name += `[${step}]`;
    else if (/^[A-Za-z0-9_-]{1,64}$/.test(step)) name += name === '' ? step : `.${step}`;
    else name += `[${shown(step)}]`;
  }
  return name;
}

/** A value inside a sentence: a string stands bare where that is unambiguous. */
export const bare = (value: unknown): string =>
  typeof value === 'string' && value.length <= 60 && /^[\x21-\x7e]+$/.test(value) ? value : shown(value);

/** What a shape accepts, in words: `a prefix`, `one of None, All`. */
export function typeWords(shape: Shape): string {
  switch (shape.kind) {
    case 'string':
      return shape.values === undefined ? shape.type : `one of ${shape.values.join(', ')}`;
    case 'integer':
      return `a whole number from ${shape.minimum} to ${shape.maximum}`;
    case 'integerOrString':
      return shape.type;
    case 'boolean':
      return 'true or false';
    case 'list':
      return 'a list';
    default:
      return 'a map of fields';
  }
}

export function wrongType(shape: Shape, raw: unknown, path: Path, problems: FieldProblem[], secret = false): Invalid {
  const what = secret ? 'the value (not shown)' : shown(raw);
  problems.push({
    path,
    at: 'value',
    code: 'CONFIG_WRONG_TYPE',
    text: `${what} has the wrong type; use ${typeWords(shape)}`,
  });
  return invalid;
}

export function outOfBounds(text: string, path: Path, problems: FieldProblem[]): Invalid {
  problems.push({ path, at: 'value', code: 'CONFIG_OUT_OF_BOUNDS', text });
  return invalid;
}

function fillSentence<T>(rule: Rule<T>, value: T): string {
  return rule.sentence.replace(/\{(\w+)\}/g, (_, name: string) =>
    name === 'value' ? bare(value) : (rule.fill?.[name]?.text(value) ?? name),
  );
}

/** Runs rules in order and stops at the first that does not hold: a later one may rely on an earlier one. */
export function checkRules<T>(
  rules: readonly Rule<T>[],
  value: T,
  code: FieldCode,
  path: Path,
  problems: FieldProblem[],
): boolean {
  for (const rule of rules) {
    if (rule.holds(value)) continue;
    problems.push({ path: [...path, ...(rule.path ?? [])], at: 'value', code, text: fillSentence(rule, value) });
    return false;
  }
  return true;
}

const isMap = (raw: unknown): raw is Readonly<Record<string, unknown>> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw);

/** Which of the entries is there a second time; -1: none is. */
function repeated(entries: readonly unknown[], unique: Unique): number {
  const seen = new Set<string>();
  return entries.findIndex((entry) => {
    const key = JSON.stringify(unique === 'entry' ? entry : isMap(entry) ? entry[unique.field] : entry) ?? '';
    const before = seen.has(key);
    seen.add(key);
    return before;
  });
}

export function list<T>(
  items: Schema<T>,
  options: {
    readonly minItems?: number;
    readonly maxItems: number;
    readonly unique?: Unique;
    readonly rules?: readonly Rule<readonly T[]>[];
  },
): Schema<readonly T[]> {
  const minItems = options.minItems ?? 0;
  const rules = options.rules ?? [];
  const { unique } = options;
  const shape: Shape = { kind: 'list', items, minItems, maxItems: options.maxItems, ...(unique && { unique }) };
  return {
    shape,
    rules,
    read(raw, path, problems) {
      if (!Array.isArray(raw)) return wrongType(shape, raw, path, problems);
      const entries: readonly unknown[] = raw;
      if (entries.length > options.maxItems)
        return outOfBounds(`has ${entries.length} entries; at most ${options.maxItems} are allowed`, path, problems);
      if (entries.length < minItems)
        return outOfBounds(`has ${entries.length} entries; at least ${minItems} are needed`, path, problems);
      const values: T[] = [];
      entries.forEach((entry, i) => {
        const value = items.read(entry, [...path, i], problems);
        if (value !== invalid) values.push(value);
      });
      if (values.length !== entries.length) return invalid;
      const twice = unique === undefined ? -1 : repeated(entries, unique);
      if (unique !== undefined && twice >= 0) {
        const entry = entries[twice];
        const value = unique !== 'entry' && isMap(entry) ? entry[unique.field] : entry;
        const at = [...path, twice, ...(unique === 'entry' ? [] : [unique.field])];
        problems.push({ path: at, at: 'value', code: 'CONFIG_RULE_BROKEN', text: `${bare(value)} is there twice` });
        return invalid;
      }
      return checkRules(rules, values, 'CONFIG_RULE_BROKEN', path, problems) ? values : invalid;
    },
  };
}

const brokenSecretEntry =
  'holds an entry that is not a key and its value (not shown); write KEY: VALUE, with a space after the colon, and letters, digits, -, _ and . in the key';

/** A map whose keys are the user's own, such as labels. */
export function map<T>(
  values: Schema<T>,
  options: {
    readonly maxProperties: number;
    readonly keys: Rule<string>;
    readonly rules?: readonly Rule<Readonly<Record<string, T>>>[];
  },
): Schema<Readonly<Record<string, T>>> {
  const rules = options.rules ?? [];
  const shape: Shape = { kind: 'map', values, keys: options.keys, maxProperties: options.maxProperties };
  const secret = values.shape.kind === 'string' && values.shape.secret === true;
  return {
    shape,
    rules,
    read(raw, path, problems) {
      if (!isMap(raw)) return wrongType(shape, raw, path, problems, secret);
      const entries = Object.entries(raw);
      if (entries.length > options.maxProperties)
        return outOfBounds(
          `has ${entries.length} entries; at most ${options.maxProperties} are allowed`,
          path,
          problems,
        );
      const result: Record<string, T> = {};
      let good = true;
      for (const [key, entry] of entries) {
        // `key:value` without the space is a key with nothing: what stands there may be the secret itself.
        if (secret && (entry === null || !options.keys.holds(key))) {
          good = false;
          problems.push({ path, at: 'value', code: 'CONFIG_INVALID_VALUE', text: brokenSecretEntry });
          continue;
        }
        const at = [...path, key];
        const value = values.read(entry, at, problems);
        if (!checkRules([options.keys], key, 'CONFIG_INVALID_VALUE', at, problems) || value === invalid) good = false;
        else Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true });
      }
      return good && checkRules(rules, result, 'CONFIG_RULE_BROKEN', path, problems) ? result : invalid;
    },
  };
}

export type Values<F> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export function object<F extends Readonly<Record<string, Field<unknown>>>>(
  fields: F,
  options: {
    readonly ignored?: readonly string[];
    readonly atomic?: boolean;
    readonly rules?: readonly Rule<Values<F>>[];
    readonly changes?: readonly ChangeRule[];
  } = {},
): Schema<Values<F>> {
  const { ignored = [], atomic = false, rules = [], changes = [] } = options;
  const shape: Shape = { kind: 'object', fields, ignored, atomic, changes };
  return {
    shape,
    rules,
    read(raw, path, problems) {
      if (!isMap(raw)) return wrongType(shape, raw, path, problems);
      let good = true;
      for (const key of Object.keys(raw)) {
        if (Object.hasOwn(fields, key) || ignored.includes(key)) continue;
        good = false;
        const text = `unknown field; ${hint(key, Object.keys(fields))}`;
        problems.push({ path: [...path, key], at: 'key', code: 'CONFIG_UNKNOWN_FIELD', text });
      }
      const result: Record<string, unknown> = {};
      for (const [key, field] of Object.entries(fields)) {
        const value = field.read(Object.hasOwn(raw, key) ? raw[key] : undefined, [...path, key], problems);
        if (value === invalid) good = false;
        else result[key] = value;
      }
      if (!good) return invalid;
      const value = result as Values<F>;
      return checkRules(rules, value, 'CONFIG_RULE_BROKEN', path, problems) ? value : invalid;
    },
  };
}
