// Drives Chromium for the tests of internal/journeys. A line of JSON on standard input is
// one step: {"step": "journeys.bounced", "args": {...}}; its answer is a line on standard
// output: {"result": ...} or {"error": "..."}. It ends with its input.
import {createInterface} from 'node:readline';
import {chromium} from 'playwright-core';
import {visit} from './visit.mjs';

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--hide-scrollbars'],
});

async function run({step, args}) {
  const [room, name] = step.split('.');
  const v = await visit(browser, args);
  try {
    const {[name]: take} = await import(`./${room}.mjs`);
    const result = await Promise.race([take(v, args), late()]);
    v.judge();
    return {result: result ?? null};
  } catch (e) {
    return {error: `${e.stack || e}\n${await v.describe()}`};
  } finally {
    await v.context.close();
  }
}

/** late fails a step that does not end. */
const late = () => new Promise((_, fail) => setTimeout(() => fail(new Error('the step did not end within 2 minutes')), 120_000).unref());

for await (const line of createInterface({input: process.stdin})) {
  process.stdout.write(JSON.stringify(await run(JSON.parse(line))) + '\n');
}
await browser.close();
