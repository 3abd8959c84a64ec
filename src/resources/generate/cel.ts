/** Rules of the schemas as `x-kubernetes-validations` of a CustomResourceDefinition. PURE. */
import type { ChangeRule, Path, Rule, Schema } from '../schema.ts';

type StatedRule = Schema<unknown>['rules'][number];

export interface Validation {
  readonly rule: string;
  readonly message: string;
  readonly messageExpression?: string;
  readonly fieldPath?: string;
  readonly reason: 'FieldValueInvalid' | 'FieldValueForbidden';
}

/** A text as a CEL literal. */
const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** What `shown` and `bare` of schema.ts do to a text, in CEL: bare where it is short and plain, quoted and cut otherwise. */
const shownText = (text: string): string =>
  `(${text}.matches('^[!-~]{1,60}$') ? ${text} : (size(strings.quote(${text})) > 60 ? strings.quote(${text}).substring(0, 57) + '…' : strings.quote(${text})))`;

/** The value itself inside its sentence, by what it is. */
function shownSelf({ shape }: Schema<unknown>): string | undefined {
  if (shape.kind === 'string') return shownText('self');
  if (shape.kind === 'integer') return 'string(self)';
  return shape.kind === 'integerOrString' ? shownText('string(self)') : undefined;
}

const fieldPath = (path: Path): string =>
  path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');

/** Only the parts of the schema can be named; the name of the object, for one, is none. */
const namable = (path: Path | undefined): path is Path =>
  path !== undefined && path.length > 0 && path.every((step) => typeof step === 'string');

/** The sentence where nothing can be filled in: what stands in `message`, for a server that cannot evaluate the expression. */
const plain = (rule: StatedRule): string =>
  rule.sentence.replace(/\{(\w+)\}/g, (_, name: string) => (name === 'value' ? 'the value' : `<${name}>`));

/** The sentence as a CEL expression; `undefined` when nothing in it depends on the value. */
function filled(rule: StatedRule, self: string | undefined): string | undefined {
  const values: string[] = [];
  const format = rule.sentence.replaceAll('%', '%%').replace(/\{(\w+)\}/g, (_, name: string) => {
    const cel = name === 'value' ? self : rule.fill?.[name]?.cel;
    if (cel === undefined) return '';
    values.push(cel);
    return '%s';
  });
  // Not with +, whose cost counts the length of each part, and that of an address is not known beforehand.
  return values.length === 0 ? undefined : `${literal(format)}.format([${values.join(', ')}])`;
}

export function validations(schema: Schema<unknown>): Validation[] {
  const single = schema.shape.kind === 'string' || schema.shape.kind === 'integerOrString';
  const self = shownSelf(schema);
  const stated = schema.rules.filter((rule) => rule.cel !== undefined);
  return [
    ...stated.map((rule, i) => validation(rule, single && rule.celAlone !== true ? stated.slice(0, i) : [], self)),
    ...(schema.shape.kind === 'map' ? [keyValidation(schema.shape.keys)] : []),
    ...(schema.shape.kind === 'object' ? schema.shape.changes.map(changeValidation) : []),
  ];
}

/** A rule may rely on those before it: where one of them is broken it says nothing, as `checkRules` does. */
function validation(rule: StatedRule, before: readonly StatedRule[], self: string | undefined): Validation {
  const message = filled(rule, self);
  const guards = before.map(({ cel = '' }) => `!(${cel})`);
  return {
    rule: guards.length === 0 ? (rule.cel ?? '') : [...guards, `(${rule.cel ?? ''})`].join(' || '),
    message: plain(rule),
    ...(message === undefined ? {} : { messageExpression: message }),
    ...(namable(rule.path) ? { fieldPath: fieldPath(rule.path) } : {}),
    reason: 'FieldValueInvalid',
  };
}

/** The rule of a key, written for `self`, over all keys of the map. */
function keyValidation(rule: Rule<string>): Validation {
  const cel = (rule.cel ?? 'true').replace(/\bself\b/g, 'key');
  const broken = `self.filter(key, !(${cel}))[0]`;
  const message = filled(rule, shownText(broken));
  return {
    rule: `self.all(key, ${cel})`,
    message: plain(rule),
    ...(message === undefined ? {} : { messageExpression: message }),
    reason: 'FieldValueInvalid',
  };
}

const changeValidation = ({ cel, sentence, path }: ChangeRule): Validation => ({
  rule: cel,
  message: sentence,
  fieldPath: fieldPath(path),
  reason: 'FieldValueForbidden',
});
