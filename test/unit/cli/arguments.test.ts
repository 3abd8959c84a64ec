import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { editDistance, nearest } from '#lib/nearest.ts';
import { type CommandSpec, parseArguments, usageText } from '#cli/arguments.ts';

const spec: CommandSpec = {
  name: 'routes',
  summary: 'Routes.',
  arguments: [{ name: 'PREFIX', required: false, help: 'a prefix' }],
  options: [
    { name: 'received', help: 'what came in' },
    { name: 'peer', short: 'p', value: 'PEER', help: 'one peer' },
    { name: 'output', short: 'o', value: 'FORMAT', choices: ['table', 'json', 'yaml'], help: 'format' },
  ],
};

describe('options in every spelling', () => {
  const rows: readonly (readonly [string, readonly string[], Readonly<Record<string, string>>, readonly string[]])[] = [
    ['value after a blank', ['--peer', 'tor-a'], { peer: 'tor-a' }, []],
    ['value after an equals sign', ['--peer=tor-a'], { peer: 'tor-a' }, []],
    ['short option', ['-o', 'json'], { output: 'json' }, []],
    ['short option with its value attached', ['-ojson'], { output: 'json' }, []],
    ['option after a word', ['10.0.0.0/8', '-o', 'yaml'], { output: 'yaml' }, ['10.0.0.0/8']],
    ['words after --', ['--', '--peer'], {}, ['--peer']],
    ['a value that begins with a dash', ['--peer', '-x'], { peer: '-x' }, []],
  ];
  for (const [name, argv, values, words] of rows) {
    test(name, () => {
      const parsed = parseArguments(spec, argv);
      assert.ok(parsed.ok);
      assert.deepEqual(Object.fromEntries(parsed.value.values), values);
      assert.deepEqual(parsed.value.words, words);
    });
  }
});

describe('wrong words are answered with what is wrong and what is near', () => {
  const rows: readonly (readonly [string, readonly string[], string])[] = [
    [
      'unknown option, near',
      ['--recieved'],
      'unknown option --recieved for `flatroute routes`; did you mean --received?',
    ],
    ['unknown option, nothing near', ['--frobnicate'], 'unknown option --frobnicate for `flatroute routes`'],
    ['option without its value', ['--peer'], 'option --peer needs a value: --peer PEER'],
    ['empty value', ['--peer='], 'option --peer needs a value: --peer PEER'],
    ['switch with a value', ['--received=yes'], 'option --received takes no value'],
    ['unknown choice', ['-o', 'jsn'], '--output jsn is not known: table, json, yaml; did you mean json?'],
    ['one word too many', ['10.0.0.0/8', 'x'], 'unexpected word "x" after `flatroute routes`'],
    ['option twice', ['-o', 'json', '--output', 'yaml'], 'option --output is given twice'],
  ];
  for (const [name, argv, expected] of rows) {
    test(name, () => assert.deepEqual(parseArguments(spec, argv), { ok: false, error: expected }));
  }

  test('a missing argument is named with the usage', () => {
    const needs: CommandSpec = {
      ...spec,
      name: 'reset',
      arguments: [{ name: 'PEER', required: true, help: 'a peer' }],
    };
    assert.deepEqual(parseArguments(needs, []), {
      ok: false,
      error: 'PEER is missing: `flatroute reset PEER [options]`',
    });
  });

  test('--help is understood although a required word is missing', () => {
    const needs: CommandSpec = { ...spec, arguments: [{ name: 'PEER', required: true, help: 'a peer' }] };
    const parsed = parseArguments(needs, ['--help']);
    assert.ok(parsed.ok && parsed.value.help);
  });
});

test('the distance counts a swap of neighbours as one', () => {
  assert.equal(editDistance('peers', 'peers'), 0);
  assert.equal(editDistance('peesr', 'peers'), 1);
  assert.equal(editDistance('pers', 'peers'), 1);
  assert.equal(editDistance('', 'abc'), 3);
});

test('a far word has no nearest', () => {
  assert.equal(nearest('statsu', ['status', 'peers']), 'status');
  assert.equal(nearest('cond', ['conditions', 'cni install']), 'conditions');
  assert.equal(nearest('kubectl', ['status', 'peers']), undefined);
});

test('the usage text has each option and its help', () => {
  const text = usageText(spec);
  for (const part of ['flatroute routes [PREFIX] [options]', '-p, --peer PEER', 'what came in'])
    assert.ok(text.includes(part), part);
});
