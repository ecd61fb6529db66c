import { useKnown } from '../hooks.js';
import { Callout } from '../ui.js';

/** Says why the buttons of a page do nothing. */
export function NoChanges() {
  const allows = useKnown((known) => known.node?.allows);
  if (allows === undefined || allows.changes) return null;
  return (
    <Callout tone="quiet">
      <b>For reading only.</b> No token guards this console, so nothing can be changed here: start the nodes
      with <code>rest.console-token</code>.
    </Callout>
  );
}
