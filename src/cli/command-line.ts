/** From the words of the command line to a subcommand, its usage text, or a sentence about what is wrong with them. */
import { AppError } from '#lib/result.ts';
import { didYouMean, parseArguments, usageText } from './arguments.ts';
import { type Command, EXIT_FINE, EXIT_USAGE, EXIT_WRONG } from './command.ts';
import { commands, demoSummary } from './commands.ts';
import type { CliIo } from './io.ts';

export async function runCommandLine(argv: readonly string[], io: CliIo): Promise<number> {
  const [first, second] = argv;
  if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
    return help(second, io);
  }
  if (first === '--version' || first === '-v') return runCommandLine(['version'], io);
  try {
    if (first === 'demo') {
      const { runDemo } = await import('./demo/main.ts');
      return await runDemo(argv.slice(1), io);
    }
    const found = findCommand(argv);
    if (found === undefined) return usage(io, unknownCommand(argv));
    const parsed = parseArguments(found.command, argv.slice(found.words));
    if (!parsed.ok) return usage(io, parsed.error, found.command.name);
    if (parsed.value.help) {
      io.out(usageText(found.command));
      return EXIT_FINE;
    }
    return await found.command.run(parsed.value, io);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    io.err(`flatroute: ${error.message}\n`);
    return EXIT_WRONG;
  }
}

function findCommand(argv: readonly string[]): { readonly command: Command; readonly words: number } | undefined {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(' ');
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined && argv.length >= words) return { command, words };
  }
  return undefined;
}

const names = (): string[] => [...commands.map((command) => command.name), 'demo'];

function unknownCommand(argv: readonly string[]): string {
  const [first = '', second] = argv;
  const group = names().filter((name) => name.startsWith(`${first} `));
  if (group.length > 0) {
    const said = second === undefined ? 'a word is missing' : `unknown subcommand ${first} ${second}`;
    return `${said}: ${group.map((name) => `\`flatroute ${name}\``).join(', ')}`;
  }
  return first.startsWith('-')
    ? `unknown option ${first} before the subcommand`
    : `unknown subcommand ${first}${didYouMean(first, names())}`;
}

function usage(io: CliIo, text: string, subcommand?: string): number {
  io.err(`flatroute: ${text}\n`);
  io.err(`what can be asked: \`flatroute help${subcommand === undefined ? '' : ` ${subcommand}`}\`\n`);
  return EXIT_USAGE;
}

function help(topic: string | undefined, io: CliIo): number {
  const chosen = commands.filter((command) => command.name === topic || command.name.split(' ')[0] === topic);
  if (topic !== undefined && chosen.length > 0) {
    io.out(chosen.map(usageText).join('\n'));
    return EXIT_FINE;
  }
  if (topic !== undefined && topic !== 'demo') return usage(io, unknownCommand([topic]));
  const rows = [...commands.map(({ name, summary }) => [name, summary] as const), ['demo', demoSummary] as const];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`);
  io.out(
    [
      'flatroute: pods with addresses that the physical network routes natively.',
      '',
      ...lines,
      '',
      'More about one: flatroute help SUBCOMMAND. Exit codes: 0 fine, 1 something is wrong that the output names, 2 wrong use.',
      '',
    ].join('\n'),
  );
  return EXIT_FINE;
}
