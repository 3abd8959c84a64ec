/**
 * Selector expressions over labels, in the language that Calico's users know: `rack == 'a' && !has(retired)`.
 * Data in: the text. Data out: an expression tree (plain data), or where and why the text is none. Kubernetes label
 * selectors become the same tree, so there is one evaluator.
 *
 *   or     = and { "||" and }
 *   and    = unary { "&&" unary }
 *   unary  = "!" unary | "(" or ")" | "all()" | "global()" | "has(" label ")" | label test
 *   test   = "==" text | "!=" text | "in" set | "not in" set | "contains" text | "starts with" text | "ends with" text
 *   set    = "{" [ text { "," text } ] "}"
 *   text   = 'no quote inside' | "no quote inside"
 *
 * `!=` and `not in` hold for a label that is absent, as in Calico and in Kubernetes.
 */
import { assertNever, fail, ok } from '#lib/result.ts';
import type { Result } from '#lib/result.ts';

export type Labels = Readonly<Record<string, string>>;

export type Expression =
  | { readonly op: 'all' | 'global' }
  | { readonly op: 'has'; readonly label: string }
  | {
      readonly op: 'equal' | 'notEqual' | 'contains' | 'startsWith' | 'endsWith';
      readonly label: string;
      readonly value: string;
    }
  | { readonly op: 'in' | 'notIn'; readonly label: string; readonly values: readonly string[] }
  | { readonly op: 'not'; readonly of: Expression }
  | { readonly op: 'and' | 'or'; readonly of: readonly Expression[] };

export interface Selector {
  /** As it was written. */
  readonly text: string;
  readonly expression: Expression;
}

export interface SelectorProblem {
  /** Characters before the place, from 0. */
  readonly at: number;
  readonly text: string;
}

/** Deeper nesting than people write, shallow enough for any stack. */
const deepest = 64;

type Token =
  | { readonly kind: 'word' | 'text' | 'sign'; readonly text: string; readonly at: number }
  | { readonly kind: 'end'; readonly text: ''; readonly at: number };

class Refusal extends Error {
  readonly problem: SelectorProblem;
  constructor(at: number, text: string) {
    super(text);
    this.problem = { at, text };
  }
}

function tokens(source: string): Token[] {
  const found: Token[] = [];
  const pattern = /\s*(?:([A-Za-z0-9_./-]+)|'([^']*)'|"([^"]*)"|(==|!=|&&|\|\||[!(){},]))/y;
  let at = 0;
  while (source.slice(at).trim() !== '') {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match === null) {
      const bad = at + (source.slice(at).length - source.slice(at).trimStart().length);
      const sign = source[bad] ?? '';
      if (sign === "'" || sign === '"') throw new Refusal(bad, `the text that begins with ${sign} has no end`);
      if (sign === '=') throw new Refusal(bad, 'a comparison is written ==');
      if (sign === '&' || sign === '|') throw new Refusal(bad, `write ${sign}${sign}`);
      throw new Refusal(bad, `${JSON.stringify(sign)} has no meaning here`);
    }
    const start = pattern.lastIndex - match[0].trimStart().length;
    const [, word, single, double, sign] = match;
    if (word !== undefined) found.push({ kind: 'word', text: word, at: start });
    else if (sign !== undefined) found.push({ kind: 'sign', text: sign, at: start });
    else found.push({ kind: 'text', text: single ?? double ?? '', at: start });
    at = pattern.lastIndex;
  }
  found.push({ kind: 'end', text: '', at: source.length });
  return found;
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  whole(): Expression {
    const expression = this.#or(0);
    const rest = this.#peek();
    if (rest.kind !== 'end') throw new Refusal(rest.at, `expected &&, || or the end, found ${nameOf(rest)}`);
    return expression;
  }

  #peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#next + ahead, this.#tokens.length - 1)] ?? { kind: 'end', text: '', at: 0 };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #sign(text: string): boolean {
    const token = this.#peek();
    if (token.kind !== 'sign' || token.text !== text) return false;
    this.#next++;
    return true;
  }

  #word(text: string): boolean {
    const token = this.#peek();
    if (token.kind !== 'word' || token.text !== text) return false;
    this.#next++;
    return true;
  }

  #expect(sign: string): void {
    const token = this.#peek();
    if (!this.#sign(sign)) throw new Refusal(token.at, `expected ${sign}, found ${nameOf(token)}`);
  }

  #chain(op: 'and' | 'or', sign: string, part: () => Expression): Expression {
    const parts = [part()];
    while (this.#sign(sign)) parts.push(part());
    const [first] = parts;
    return parts.length === 1 && first !== undefined ? first : { op, of: parts };
  }

  #or(depth: number): Expression {
    return this.#chain('or', '||', () => this.#chain('and', '&&', () => this.#unary(depth)));
  }

  #unary(depth: number): Expression {
    const start = this.#peek();
    if (depth > deepest) throw new Refusal(start.at, `nested deeper than ${deepest} levels`);
    if (this.#sign('!')) return { op: 'not', of: this.#unary(depth + 1) };
    if (this.#sign('(')) {
      const inner = this.#or(depth + 1);
      this.#expect(')');
      return inner;
    }
    const token = this.#take();
    if (token.kind !== 'word')
      throw new Refusal(token.at, `expected a label, has(label), all(), ! or (, found ${nameOf(token)}`);
    const next = this.#peek();
    if (next.kind === 'sign' && next.text === '(') return this.#call(token);
    return this.#test(token.text);
  }

  #call(name: Token): Expression {
    this.#expect('(');
    if (name.text === 'has') {
      const label = this.#take();
      if (label.kind !== 'word') throw new Refusal(label.at, `expected a label in has(), found ${nameOf(label)}`);
      this.#expect(')');
      return { op: 'has', label: label.text };
    }
    if (name.text !== 'all' && name.text !== 'global')
      throw new Refusal(name.at, `${name.text}() is not known; use has(label), all() or global()`);
    this.#expect(')');
    return { op: name.text };
  }

  #test(label: string): Expression {
    const token = this.#peek();
    if (this.#sign('==')) return { op: 'equal', label, value: this.#text() };
    if (this.#sign('!=')) return { op: 'notEqual', label, value: this.#text() };
    if (this.#word('in')) return { op: 'in', label, values: this.#set() };
    if (this.#word('contains')) return { op: 'contains', label, value: this.#text() };
    const second = this.#peek(1);
    if (token.kind === 'word' && second.kind === 'word') {
      const pair = `${token.text} ${second.text}`;
      if (pair === 'not in' || pair === 'starts with' || pair === 'ends with') {
        this.#next += 2;
        if (pair === 'not in') return { op: 'notIn', label, values: this.#set() };
        return { op: pair === 'starts with' ? 'startsWith' : 'endsWith', label, value: this.#text() };
      }
    }
    throw new Refusal(
      token.at,
      `expected ==, !=, in, not in, contains, starts with or ends with after ${label}, found ${nameOf(token)}`,
    );
  }

  #text(): string {
    const token = this.#take();
    if (token.kind === 'word') throw new Refusal(token.at, `values stand in quotes: '${token.text}'`);
    if (token.kind !== 'text') throw new Refusal(token.at, `expected a value in quotes, found ${nameOf(token)}`);
    return token.text;
  }

  #set(): string[] {
    this.#expect('{');
    const values: string[] = [];
    if (this.#sign('}')) return values;
    do values.push(this.#text());
    while (this.#sign(','));
    this.#expect('}');
    return values;
  }
}

function nameOf(token: Token): string {
  if (token.kind === 'end') return 'the end';
  return token.kind === 'text' ? `'${token.text.slice(0, 30)}'` : token.text.slice(0, 30);
}

export function parseSelector(source: string): Result<Selector, SelectorProblem> {
  try {
    return ok({ text: source, expression: new Parser(tokens(source)).whole() });
  } catch (error) {
    if (error instanceof Refusal) return fail(error.problem);
    throw error;
  }
}

export function matches(expression: Expression, labels: Labels): boolean {
  switch (expression.op) {
    case 'all':
    case 'global':
      return true;
    case 'not':
      return !matches(expression.of, labels);
    case 'and':
      return expression.of.every((part) => matches(part, labels));
    case 'or':
      return expression.of.some((part) => matches(part, labels));
    default:
      return holdsFor(expression, Object.hasOwn(labels, expression.label) ? labels[expression.label] : undefined);
  }
}

type LabelTest = Extract<Expression, { readonly label: string }>;

function holdsFor(test: LabelTest, value: string | undefined): boolean {
  switch (test.op) {
    case 'has':
      return value !== undefined;
    case 'equal':
      return value === test.value;
    case 'notEqual':
      return value !== test.value;
    case 'in':
      return value !== undefined && test.values.includes(value);
    case 'notIn':
      return value === undefined || !test.values.includes(value);
    case 'contains':
      return value?.includes(test.value) ?? false;
    case 'startsWith':
      return value?.startsWith(test.value) ?? false;
    case 'endsWith':
      return value?.endsWith(test.value) ?? false;
    default:
      return assertNever(test, 'label test');
  }
}

/** Whether `op` occurs anywhere in the expression. */
export function uses(expression: Expression, op: Expression['op']): boolean {
  if (expression.op === op) return true;
  if (expression.op === 'not') return uses(expression.of, op);
  return expression.op === 'and' || expression.op === 'or' ? expression.of.some((part) => uses(part, op)) : false;
}
