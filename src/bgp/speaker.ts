/**
 * The embedded BGP engine: composes the real sessions and listener of `io/` with the RIB and the policy behind the engine
 * port. `speaker/engine.ts` is the same without sockets.
 */
import type { BgpEngine } from './engine.ts';
import { createDiscovery } from './discovery/io/discovery.ts';
import { createListener } from './io/listener.ts';
import { readDroppedSegments } from './io/dropped-segments.ts';
import { readOptionMemory } from './io/option-memory.ts';
import { configOf } from './io/session-options.ts';
import { createSession } from './io/session-runner.ts';
import type { SpeakerModules, SpeakerOptions } from './speaker/modules.ts';
import { Speaker } from './speaker/engine.ts';

export type { SpeakerModules, SpeakerOptions } from './speaker/modules.ts';

/** An engine without peers until `apply`. It does nothing on its own before that. */
export function createSpeaker(options: SpeakerOptions, modules: SpeakerModules): BgpEngine {
  const { recorder } = modules;
  return new Speaker(options, {
    droppedSegments: readDroppedSegments,
    optionMemory: readOptionMemory,
    ...modules,
    createSession: (session, world) => {
      const { name, address } = session.peer;
      return createSession(session, { ...world, record: recorder?.session(name, address, configOf(session)) });
    },
    createListener,
    createDiscovery,
  });
}
