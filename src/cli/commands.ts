/** Every subcommand. What is heavy (the agent, the lab) is loaded when it is asked for. */
import { release } from 'node:os';
import { programVersion } from '#agent/entries.ts';
import { agentSpec } from './agent.ts';
import { bfdSpec } from './bfd.ts';
import { type Command, EXIT_FINE } from './command.ts';
import { cniInstall } from './cni-install.ts';
import { controllerSpec } from './controller.ts';
import { drainSpec, undrainSpec } from './drain.ts';
import { ipamCheck } from './ipam-check.ts';
import { questions } from './questions.ts';
import { replaySpec } from './replay.ts';
import { uninstallSpec } from './uninstall.ts';

const version: Command = {
  name: 'version',
  summary: 'Version of this program, and of what it runs on.',
  arguments: [],
  options: [{ name: 'output', short: 'o', value: 'FORMAT', choices: ['table', 'json'], help: 'json for programs' }],
  run: (parsed, io) => {
    const answer = { version: programVersion(), node: process.version, kernel: release(), architecture: process.arch };
    io.out(
      parsed.values.get('output') === 'json'
        ? `${JSON.stringify(answer, null, 2)}\n`
        : `flatroute ${answer.version} · Node ${answer.node} · Linux ${answer.kernel} ${answer.architecture}\n`,
    );
    return Promise.resolve(EXIT_FINE);
  },
};

export const commands: readonly Command[] = [
  ...questions,
  ipamCheck,
  drainSpec,
  undrainSpec,
  version,
  agentSpec,
  bfdSpec,
  controllerSpec,
  replaySpec,
  cniInstall,
  uninstallSpec,
];
/** Has options of its own; gets the words as they are. */
export const demoSummary =
  'Two racks with routers, nodes, pods and a legacy VM in network namespaces, on this machine.';
