import { useEffect, useReducer, useRef } from 'preact/hooks';
import { getNotices, type Notice, subscribeToNotices } from './announce.js';
import { getKnown, type Known, subscribe } from './live.js';
import { currentRoute, type Route } from './router.js';
import { isDark, subscribeToTheme } from './theme.js';

/** Reads what is known, and draws anew when what `select` gives is another object. */
export function useKnown<Part>(select: (known: Known) => Part): Part {
  return useStore(subscribe, () => select(getKnown()));
}

export function useNotices(): readonly Notice[] {
  return useStore(subscribeToNotices, getNotices);
}

export function useIsDark(): boolean {
  return useStore(subscribeToTheme, isDark);
}

export function useRoute(): Route {
  const address = useStore(subscribeToAddress, () => location.hash);
  const route = useRef<{ readonly address: string; readonly route: Route }>(undefined);
  if (route.current?.address !== address) route.current = { address, route: currentRoute() };
  return route.current.route;
}

/** Draws anew each second, for texts that say how long ago something was. */
export function useSeconds(): number {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => redraw(undefined), 1_000);
    return () => clearInterval(timer);
  }, []);
  return Date.now();
}

function subscribeToAddress(listener: () => void): () => void {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
}

function useStore<Value>(join: (listener: () => void) => () => void, read: () => Value): Value {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const value = read();
  const latest = useRef({ value, read });
  latest.current = { value, read };
  useEffect(() => {
    const look = (): void => {
      if (!Object.is(latest.current.read(), latest.current.value)) redraw(undefined);
    };
    look();
    return join(look);
  }, [join]);
  return value;
}
