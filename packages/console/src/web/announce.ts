/** What is said to screen readers, and shown at the foot of the page for a while. */

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly kind: 'change' | 'done' | 'failed';
}

const SHOWN_MS = 6_000;
let notices: readonly Notice[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

export function getNotices(): readonly Notice[] {
  return notices;
}

export function subscribeToNotices(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Says what has changed, or what was done. */
export function announce(text: string, kind: Notice['kind'] = 'change'): void {
  const notice: Notice = { id: ++lastId, text, kind };
  replace([...notices, notice].slice(-3));
  setTimeout(() => dismiss(notice.id), SHOWN_MS);
}

export function dismiss(id: number): void {
  replace(notices.filter((notice) => notice.id !== id));
}

function replace(next: readonly Notice[]): void {
  notices = next;
  for (const listener of listeners) listener();
}
