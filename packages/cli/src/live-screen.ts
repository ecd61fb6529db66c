/** What the terminal is asked for: another screen, without a cursor, on which long lines are cut and not wrapped. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
/** Lets the terminal show what stands between the two at once; those that do not know it ignore it. */
const BEGIN_UPDATE = '\x1b[?2026h';
const END_UPDATE = '\x1b[?2026l';
const TO_TOP = '\x1b[H';
const CLEAR_LINE_REST = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** The signals that end a view. */
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * A screen of the terminal that is drawn anew in place. What stood in the terminal before is back when the view ends,
 * whatever ends it but SIGKILL, and while the process is suspended by Ctrl-Z.
 */
export class LiveScreen {
  readonly #stream: NodeJS.WriteStream;
  readonly #redraw: () => void;
  #shown = '';
  /** True from Ctrl-Z on until the screen is taken again: a timer may come before the signal that the process goes on. */
  #isSuspended = false;
  readonly #leave = (): void => {
    this.#stream.write(LEAVE);
  };
  readonly #suspend = (): void => {
    this.#isSuspended = true;
    this.#leave();
    process.kill(process.pid, 'SIGSTOP');
  };
  readonly #resume = (): void => {
    // The signal also comes when nobody has suspended the process by Ctrl-Z.
    if (this.#isSuspended) this.#stream.write(ENTER);
    this.#isSuspended = false;
    this.#drawAnew();
  };
  readonly #drawAnew = (): void => {
    this.#shown = '';
    this.#redraw();
  };

  /** Takes the screen; `redraw` is called when what it shows must be drawn again, for a size that has changed. */
  constructor(stream: NodeJS.WriteStream, redraw: () => void) {
    this.#stream = stream;
    this.#redraw = redraw;
    process.once('exit', this.#leave);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#resume);
    stream.on('resize', this.#drawAnew);
    stream.write(ENTER);
  }

  /** The number of lines that fit. */
  get height(): number {
    return this.#stream.rows || 24;
  }

  /**
   * Draws lines over those that are there, from the first one, and leaves out those that do not fit. Does nothing while the
   * terminal has not taken what was drawn before.
   */
  draw(lines: readonly string[]): void {
    const drawn = lines
      .slice(0, this.height)
      .map((line) => line + CLEAR_LINE_REST)
      .join('\r\n');
    if (this.#isSuspended || drawn === this.#shown || this.#stream.writableNeedDrain) return;
    this.#shown = drawn;
    this.#stream.write(`${BEGIN_UPDATE}${TO_TOP}${drawn}${CLEAR_BELOW}${END_UPDATE}`);
  }

  /** Gives the terminal back as it was. */
  close(): void {
    process.off('exit', this.#leave);
    process.off('SIGTSTP', this.#suspend);
    process.off('SIGCONT', this.#resume);
    this.#stream.off('resize', this.#drawAnew);
    this.#leave();
  }
}

/** Resolves at the first signal that asks the process to end, which it then does not do by itself. */
export function untilEnded(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of endingSignals) process.once(signal, () => resolve());
  });
}
