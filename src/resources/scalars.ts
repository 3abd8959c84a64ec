/** Schemas of single values: texts with rules, words, numbers, true or false. */
import { bare, checkRules, invalid, outOfBounds, shown, typeWords, wrongType } from './schema.ts';
import type { Rule, Schema, Shape } from './schema.ts';

export interface TextOptions {
  /** What the text is, with its article: `a prefix such as 10.60.0.0/16`. */
  readonly type: string;
  readonly minLength?: number;
  readonly maxLength: number;
  readonly rules?: readonly Rule<string>[];
  /** The value is never shown in a message. */
  readonly secret?: boolean;
}

/** Characters as the API server counts them, not UTF-16 units. */
const lengthOf = (raw: string): number => raw.length - (raw.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);

/** A string with rules; `parse` makes the typed value and is called only when every rule holds. */
export function text<T>(options: TextOptions, parse: (raw: string) => T): Schema<T> {
  const rules = options.rules ?? [];
  const secret = options.secret ?? false;
  const minLength = options.minLength ?? 0;
  const shape: Shape = { kind: 'string', type: options.type, minLength, maxLength: options.maxLength, secret };
  return {
    shape,
    rules,
    read(raw, path, problems) {
      if (typeof raw !== 'string') return wrongType(shape, raw, path, problems, secret);
      const length = lengthOf(raw);
      if (length > options.maxLength)
        return outOfBounds(`has ${length} characters; at most ${options.maxLength} are allowed`, path, problems);
      if (length < minLength) return outOfBounds(`is too short; use ${options.type}`, path, problems);
      return checkRules(rules, raw, 'CONFIG_INVALID_VALUE', path, problems) ? parse(raw) : invalid;
    },
  };
}

export const string = (options: TextOptions): Schema<string> => text(options, (raw) => raw);

export function oneOf<const V extends string>(...values: readonly V[]): Schema<V> {
  const longest = Math.max(...values.map((value) => value.length));
  const shape: Shape = { kind: 'string', type: 'a word', minLength: 0, maxLength: longest, values };
  return {
    shape,
    rules: [],
    read(raw, path, problems) {
      if (typeof raw !== 'string') return wrongType(shape, raw, path, problems);
      const found = values.find((value) => value === raw);
      if (found !== undefined) return found;
      const meant = values.find((value) => value.toLowerCase() === raw.toLowerCase());
      const hint = meant === undefined ? `use ${typeWords(shape)}` : `write ${meant}`;
      problems.push({
        path,
        at: 'value',
        code: 'CONFIG_INVALID_VALUE',
        text: `${bare(raw)} is not known here; ${hint}`,
      });
      return invalid;
    },
  };
}

export function integer(minimum: number, maximum: number): Schema<number> {
  const shape: Shape = { kind: 'integer', minimum, maximum };
  return {
    shape,
    rules: [],
    read(raw, path, problems) {
      if (typeof raw !== 'number' || !Number.isInteger(raw)) return wrongType(shape, raw, path, problems);
      if (raw < minimum || raw > maximum)
        return outOfBounds(`${raw} is out of bounds; use ${typeWords(shape)}`, path, problems);
      return raw;
    },
  };
}

interface IntegerOrTextOptions {
  readonly type: string;
  readonly maxLength: number;
  /** What to write instead of a number that is not whole. */
  readonly fraction?: string;
  readonly rules: readonly Rule<number | string>[];
}

/** A number or its text; `x-kubernetes-int-or-string` in a CRD. */
export function integerOrText<T>(options: IntegerOrTextOptions, parse: (raw: number | string) => T): Schema<T> {
  const shape: Shape = { kind: 'integerOrString', type: options.type, maxLength: options.maxLength };
  return {
    shape,
    rules: options.rules,
    read(raw, path, problems) {
      if (typeof raw !== 'number' && typeof raw !== 'string') return wrongType(shape, raw, path, problems);
      if (typeof raw === 'number' && !Number.isInteger(raw) && options.fraction !== undefined) {
        const text = `${shown(raw)} is not a whole number; ${options.fraction}`;
        problems.push({ path, at: 'value', code: 'CONFIG_INVALID_VALUE', text });
        return invalid;
      }
      if (typeof raw === 'string' && lengthOf(raw) > options.maxLength)
        return outOfBounds(`has ${lengthOf(raw)} characters; at most ${options.maxLength} are allowed`, path, problems);
      return checkRules(options.rules, raw, 'CONFIG_INVALID_VALUE', path, problems) ? parse(raw) : invalid;
    },
  };
}

export const boolean: Schema<boolean> = {
  shape: { kind: 'boolean' },
  rules: [],
  read(raw, path, problems) {
    return typeof raw === 'boolean' ? raw : wrongType(boolean.shape, raw, path, problems);
  },
};
