/**
 * Functions that tests run in the console's page, each on its own: a browser gets its text alone, so that it may name
 * nothing outside itself.
 */

/** Notes what breaks the page's policy as an error of the page, which tests look at. */
export function reportPolicyViolations(): void {
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    console.error(`policy: ${violatedDirective} ${blockedURI}`),
  );
}

/** What keeps people without a mouse or a screen from using what the page shows: each a line. */
export function findBarriers(): string[] {
  const found: string[] = [];
  const describe = (element: Element): string => element.outerHTML.slice(0, 120);
  const isShown = (element: Element): boolean => element.checkVisibility();
  const textOf = (id: string | null): string =>
    id === null ? '' : (document.getElementById(id)?.textContent ?? '');
  const nameOf = (element: Element): string =>
    element.getAttribute('aria-label') ||
    textOf(element.getAttribute('aria-labelledby')) ||
    [...((element as HTMLInputElement).labels ?? [])].map((label) => label.textContent).join('') ||
    element.textContent ||
    '';
  const named =
    'button, a[href], input, select, textarea, dialog, nav, section, table, [role=img], [role=group]';
  for (const element of document.querySelectorAll(named)) {
    if (isShown(element) && nameOf(element).trim() === '') found.push(`has no name: ${describe(element)}`);
  }
  for (const element of document.querySelectorAll('table')) {
    if (!element.hasAttribute('aria-label')) found.push(`a table has no name: ${describe(element)}`);
    if (element.querySelector('th') === null) found.push(`a table has no headings: ${describe(element)}`);
  }
  for (const selector of ['h1', 'main']) {
    const there = [...document.querySelectorAll(selector)].filter(isShown).length;
    if (there !== 1) found.push(`${there} of ${selector}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`two have the id ${id}`);
  if (document.querySelector('[aria-live]') === null) found.push('nothing says what changes');
  if (document.documentElement.lang === '') found.push('the page has no language');
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) found.push(`the page is ${scrollWidth} wide in a window of ${innerWidth}`);
  return found;
}

/** The id or the text of what has the focus, and whether that is in a window over the page. */
export function focused(): { readonly name: string; readonly isInDialog: boolean } {
  const element = document.activeElement;
  return {
    name: element?.id || (element === document.body ? '' : (element?.textContent ?? '')),
    isInDialog: element?.closest('dialog') != null,
  };
}

/** Whether the page is light or dark. */
export function shownTheme(): string | undefined {
  return document.documentElement.dataset['theme'];
}
