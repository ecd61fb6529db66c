/** Light or dark: as the system has it, unless the operator has chosen. */

export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'coxswain-theme';
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

export function getTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'auto';
}

export function isDark(): boolean {
  const theme = getTheme();
  return theme === 'auto' ? prefersDark.matches : theme === 'dark';
}

export function chooseTheme(theme: Theme): void {
  if (theme === 'auto') localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  applyTheme();
}

export function applyTheme(): void {
  document.documentElement.dataset['theme'] = isDark() ? 'dark' : 'light';
  for (const listener of listeners) listener();
}

/** Calls `listener` when the page has become light or dark. */
export function subscribeToTheme(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

prefersDark.addEventListener('change', applyTheme);
