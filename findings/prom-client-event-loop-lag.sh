#!/usr/bin/env bash
# prom-client's default metrics say of an idle process that its event loop lags by the whole eventLoopMonitoringPrecision
# (0.1 s with 100 ms), and where two scrapes lie closer together than that, that the least lag is 9223372036 s and the
# mean NaN. Its help texts call these "recorded event loop delays". Exits with 0 as long as that is so.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm init -y > /dev/null
npm install --no-audit --no-fund --silent prom-client@15.1.3
cat > idle.cjs <<'SCRIPT'
const { collectDefaultMetrics, register } = require('prom-client');
const { version } = require('prom-client/package.json');
collectDefaultMetrics({ eventLoopMonitoringPrecision: 100 });
const read = (text, name) =>
  Number(new RegExp(`^nodejs_eventloop_lag_${name}_seconds (.*)$`, 'm').exec(text)[1].replace('Nan', 'NaN'));
const scrape = async () => {
  const text = await register.metrics();
  return { min: read(text, 'min'), p50: read(text, 'p50'), mean: read(text, 'mean') };
};
setTimeout(async () => {
  const [idle, again] = [await scrape(), await scrape()];
  console.log(`prom-client ${version}, Node ${process.version}`);
  console.log('idle for 1 s: ', JSON.stringify(idle));
  console.log('scraped again:', `min ${again.min}, mean ${again.mean}`);
  const isSo = idle.min > 0.09 && idle.p50 > 0.09 && again.min > 1e9 && Number.isNaN(again.mean);
  console.log(isSo ? 'as it was found' : 'this has changed');
  process.exit(isSo ? 0 : 1);
}, 1_000);
SCRIPT
node idle.cjs
