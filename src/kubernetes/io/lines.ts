/** Cuts a stream of bytes into lines, with a bound on each: a watch sends one JSON object a line. */
import { ApiError } from '../store.ts';

/** Longer than any object the API's database takes (1.5 MiB), in JSON with its escapes. */
const longestLine = 8 * 1024 * 1024;

export interface LineCutter {
  /** Calls `line` for each line that is whole; throws API_ANSWER when one is too long. */
  push(bytes: Buffer): void;
}

export function lineCutter(line: (text: string) => void): LineCutter {
  let held: Buffer[] = [];
  let heldBytes = 0;
  return {
    push(bytes) {
      let from = 0;
      for (;;) {
        const end = bytes.indexOf(0x0a, from);
        const part = bytes.subarray(from, end < 0 ? bytes.length : end);
        if (heldBytes + part.length > longestLine)
          throw new ApiError('API_ANSWER', `watch: a line is longer than ${longestLine} bytes`);
        if (end < 0) {
          if (part.length > 0) held.push(part);
          heldBytes += part.length;
          return;
        }
        const whole = heldBytes === 0 ? part : Buffer.concat([...held, part]);
        held = [];
        heldBytes = 0;
        if (whole.length > 0) line(whole.toString('utf8'));
        from = end + 1;
      }
    },
  };
}
