import { render } from 'preact';
import { App } from './app.js';
import { follow } from './live.js';
import { takeTokenFromAddress } from './session.js';
import { applyTheme } from './theme.js';

takeTokenFromAddress();
applyTheme();
render(<App />, document.getElementById('app')!);
void follow();
