/** Labels, annotations and Kubernetes' label selectors. */
import { oneOf, string } from './scalars.ts';
import { list, map, object, optional, required } from './schema.ts';
import type { Infer, Rule, Schema } from './schema.ts';
import type { Expression } from './selector.ts';

/** Key of a Secret's data. */
export const dataKey: Rule<string> = {
  cel: "self.matches('^[-._a-zA-Z0-9]{1,253}$')",
  holds: (key) => /^[-._a-zA-Z0-9]{1,253}$/.test(key),
  sentence: '{value} is not a key; use letters, digits, -, _ and .',
};

export const labelKey: Rule<string> = {
  cel: "self.matches('^([-a-zA-Z0-9.]{1,253}/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$')",
  holds: (key) => /^([-a-zA-Z0-9.]{1,253}\/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/.test(key),
  sentence: '{value} is not a label name; use [domain/]name with letters, digits, -, _ and .',
};

const labelValue: Schema<string> = string({
  type: 'a label value',
  maxLength: 63,
  rules: [
    {
      cel: "self.matches('^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$')",
      holds: (raw) => /^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$/.test(raw),
      sentence: '{value} is not a label value; use letters, digits, -, _ and .',
    },
  ],
});

export const labels = map(labelValue, { maxProperties: 1000, keys: labelKey });
export const annotations = map(string({ type: 'text', maxLength: 262_144 }), { maxProperties: 1000, keys: labelKey });

/** Kubernetes' own form of a selector. */
export const labelSelector = object(
  {
    matchLabels: optional(map(labelValue, { maxProperties: 50, keys: labelKey }), {
      description: 'Labels and the values that they must have.',
    }),
    matchExpressions: optional(
      list(
        object(
          {
            key: required(string({ type: 'a label name', minLength: 1, maxLength: 317, rules: [labelKey] }), {
              description: 'The label.',
            }),
            operator: required(oneOf('In', 'NotIn', 'Exists', 'DoesNotExist'), {
              description: 'How the label is compared. `NotIn` holds for a label that is absent.',
            }),
            values: optional(list(labelValue, { maxItems: 100 }), {
              description: 'Values for `In` and `NotIn`; absent otherwise.',
            }),
          },
          {
            rules: [
              {
                cel: "self.operator in ['In', 'NotIn'] ? (has(self.values) && size(self.values) > 0) : (!has(self.values) || size(self.values) == 0)",
                holds: (it) => (it.operator === 'In' || it.operator === 'NotIn') === (it.values ?? []).length > 0,
                sentence: 'In and NotIn need values, Exists and DoesNotExist take none',
                path: ['values'],
              },
            ],
          },
        ),
        { maxItems: 50 },
      ),
      { description: 'Comparisons that must all hold.' },
    ),
  },
  { atomic: true },
);

/** The same tree that a selector expression gives; an empty label selector matches everything, as in Kubernetes. */
export function labelSelectorExpression(value: Infer<typeof labelSelector>): Expression {
  const parts: Expression[] = Object.entries(value.matchLabels ?? {}).map(([label, text]) => ({
    op: 'equal',
    label,
    value: text,
  }));
  for (const { key, operator, values } of value.matchExpressions ?? []) {
    if (operator === 'Exists') parts.push({ op: 'has', label: key });
    else if (operator === 'DoesNotExist') parts.push({ op: 'not', of: { op: 'has', label: key } });
    else parts.push({ op: operator === 'In' ? 'in' : 'notIn', label: key, values: values ?? [] });
  }
  return parts.length === 0 ? { op: 'all' } : { op: 'and', of: parts };
}
