import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { announce } from './announce.js';
import { sentence } from './http.js';

/** A window over the page, which holds the focus until it is closed (Escape closes it). */
export function Dialog({
  title,
  onClose,
  children,
  isWide = false,
}: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly isWide?: boolean;
}) {
  const id = useId();
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const opener = document.activeElement;
    element.current!.showModal();
    return () => {
      // What opened it has the focus again, once the window is gone.
      queueMicrotask(() => (opener as HTMLElement | null)?.focus());
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={isWide ? 'wide' : undefined}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={onClose}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** Something that is done only when the operator has read what it will do. */
export interface Deed {
  readonly title: string;
  /** What will happen, exactly. */
  readonly effect: ComponentChildren;
  /** The words of the button that does it. */
  readonly verb: string;
  readonly isDangerous?: boolean;
  /** Must be typed first. */
  readonly typed?: string;
  /** Does it, and says what was done. */
  readonly run: () => Promise<string>;
}

/** Asks whether a deed is to be done, does it, and says what came of it. */
export function Confirmation({ deed, onClose }: { readonly deed: Deed; readonly onClose: () => void }) {
  const { title, effect, verb, isDangerous = false, typed, run } = deed;
  const [entered, setEntered] = useState('');
  const [isRunning, setIsRunning] = useState(false);
  const [failure, setFailure] = useState('');
  const id = useId();
  const act = async (): Promise<void> => {
    setIsRunning(true);
    setFailure('');
    try {
      announce(await run(), 'done');
      onClose();
    } catch (error) {
      setFailure(sentence(error));
      setIsRunning(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void act();
        }}
      >
        <div class="effect">{effect}</div>
        {typed !== undefined && (
          <div class="field">
            <label for={id}>
              Type <code>{typed}</code> to go on
            </label>
            <input
              id={id}
              autocomplete="off"
              spellcheck={false}
              value={entered}
              onInput={(event) => setEntered(event.currentTarget.value)}
            />
          </div>
        )}
        {failure !== '' && (
          <p class="failure" role="alert">
            {failure}
          </p>
        )}
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button
            type="submit"
            class={isDangerous ? 'danger' : 'primary'}
            disabled={isRunning || (typed !== undefined && entered !== typed)}
          >
            {isRunning ? 'Working…' : verb}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
