import { useState } from 'preact/hooks';
import { useKnown } from './hooks.js';
import { Icon } from './icons.js';
import { follow } from './live.js';
import { keepToken, readToken } from './session.js';

/** Asks for the token that guards the API. Nothing of the node is shown without it. */
export function Login() {
  const connection = useKnown((known) => known.connection);
  const [token, setToken] = useState('');
  const isAgain = readToken() !== '';
  return (
    <main class="login">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          keepToken(token.trim());
          void follow();
        }}
      >
        <h1>
          <Icon name="wheel" />
          Coxswain
        </h1>
        <p>This node shows itself only to whoever has its token.</p>
        <div class="field">
          <label for="token">Token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            autofocus
            required
            value={token}
            aria-describedby="token-hint"
            onInput={(event) => setToken(event.currentTarget.value)}
          />
          <p class="hint" id="token-hint">
            The value of <code>rest.console-token</code>, or else of <code>maintenance.token</code>. This tab
            keeps it until it is closed.
          </p>
        </div>
        {isAgain && connection.phase === 'refused' && (
          <p class="failure" role="alert">
            The node does not take this token.
          </p>
        )}
        <button type="submit" class="primary">
          Open
        </button>
      </form>
    </main>
  );
}
