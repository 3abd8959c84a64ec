/** Shows the demo as it goes: lines on any output, and on a terminal a moving mark beside what is under way. */
import type { CliIo } from '../io.ts';
import { tableOptions } from '../io.ts';
import { paint, wrap } from '../output/text.ts';
import type { CheckResult, Show } from './checks.ts';
import type { Style } from './format.ts';
import { checkLines, OUTPUT_INDENT, outputLines, secondsText } from './format.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MILLISECONDS = 80;
/** Width when the output is no terminal. */
const PLAIN_WIDTH = 120;

export class Screen implements Show {
  readonly #io: CliIo;
  readonly #began = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #muted = false;

  constructor(io: CliIo) {
    this.#io = io;
  }

  get style(): Style {
    return { width: Math.max(40, this.#io.columns() ?? PLAIN_WIDTH), colour: tableOptions(this.#io).colour };
  }

  /** Columns that the output of a command has. */
  get outputWidth(): number {
    return this.style.width - OUTPUT_INDENT;
  }

  /** Nothing more is shown: what is under way will fail, and nobody wants to read it. */
  mute(): void {
    this.#clear();
    this.#muted = true;
  }

  line(text = ''): void {
    if (this.#muted) return;
    this.#clear();
    this.#io.out(`${text}\n`);
  }

  lines(all: readonly string[]): void {
    for (const text of all) this.line(text);
  }

  /** A heading between the acts. */
  act(title: string): void {
    this.line();
    for (const line of wrap(title, this.style.width)) this.line(paint('bold', line, this.style.colour));
  }

  /** What a real command printed. */
  output(where: string, command: string, text: string, limit?: number): void {
    this.lines(outputLines(where, command, text, this.style, limit));
  }

  begin(title: string): void {
    this.#clear();
    if (!this.#io.terminal || this.#muted) return;
    let frame = 0;
    const draw = (): void => {
      const elapsed = secondsText(performance.now() - this.#began).padStart(6);
      this.#io.out(`\r\u001b[2K ${FRAMES[frame % FRAMES.length]} ${elapsed}  ${title}`.slice(0, this.style.width + 6));
      frame++;
    };
    draw();
    this.#timer = setInterval(draw, FRAME_MILLISECONDS);
    this.#timer.unref();
  }

  end(result: CheckResult): void {
    this.lines(checkLines(result, this.style));
  }

  /** Takes the moving line away. */
  #clear(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#io.out('\r\u001b[2K');
  }
}
