/** Which page is shown, by what follows # in the address: `#/data/orders?prefix=a`. */

export interface Route {
  readonly page: string;
  /** What stands after the page's name, decoded; empty: nothing. */
  readonly argument: string;
  readonly parameters: URLSearchParams;
}

export function currentRoute(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const slash = path.indexOf('/');
  const page = slash < 0 ? path : path.slice(0, slash);
  return {
    page: page === '' ? 'overview' : page,
    argument: slash < 0 ? '' : decode(path.slice(slash + 1)),
    parameters: new URLSearchParams(query),
  };
}

/** The address of a page, for a link. */
export function addressOf(
  page: string,
  argument = '',
  parameters: Readonly<Record<string, string>> = {},
): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== '');
  const query = given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
  return `#/${page}${argument === '' ? '' : `/${encodeURIComponent(argument)}`}${query}`;
}

export function goTo(address: string): void {
  location.hash = address;
}

/** The console of another member. */
export function consoleOf(restAddress: string): string {
  return `${location.protocol}//${restAddress}/`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
