/** Every scenario. */
import { neighbourScenarios } from './neighbours.ts';
import { pathScenarios } from './paths.ts';
import { restartScenarios } from './restart.ts';
import type { Scenario } from './scenario.ts';
import { attributeScenarios } from './attributes.ts';
import { extensionScenarios } from './extensions.ts';
import { limitScenarios } from './limits.ts';
import { messageScenarios } from './messages.ts';
import { sessionScenarios } from './session.ts';

export const scenarios: readonly Scenario[] = [
  ...sessionScenarios,
  ...attributeScenarios,
  ...messageScenarios,
  ...pathScenarios,
  ...limitScenarios,
  ...restartScenarios,
  ...extensionScenarios,
  ...neighbourScenarios,
];
