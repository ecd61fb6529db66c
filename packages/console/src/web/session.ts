/** The token of this tab: it is kept as long as the tab lives, and nowhere else. */

const KEY = 'coxswain-token';

/** Takes a token from the address (`#token=…`), and takes it out of it: nobody reads it over a shoulder or in a history. */
export function takeTokenFromAddress(): void {
  const found = /[#&]token=([^&]*)/.exec(location.hash);
  if (found === null) return;
  sessionStorage.setItem(KEY, decodeURIComponent(found[1]!));
  history.replaceState(null, '', `${location.pathname}${location.search}#/`);
}

export function readToken(): string {
  return sessionStorage.getItem(KEY) ?? '';
}

export function keepToken(token: string): void {
  if (token === '') sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}
