// What the scripts of this folder share: a browser, lines that say how a check went, waiting, signing in. argv[2] is the folder of node's modules.
import { createRequire } from 'node:module';

export const require = createRequire(process.argv[2] + '/');
let failed = 0;
export function check(what, good, seen) {
  console.log((good ? 'ok' : 'not ok') + ' - ' + what);
  if (!good) {
    failed++;
    console.log('# ' + String(seen).slice(0, 1000).replaceAll('\n', '\n# '));
  }
}
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export async function until(what, fn) {
  for (let i = 0; i < 300; i++) {
    if (await fn().catch(() => false)) return check(what, true);
    await sleep(100);
  }
  check(what, false, 'waited in vain');
}

const browser = await require('playwright-core').chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
export const errors = [];
export async function open(url, options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on('pageerror', (e) => errors.push('page: ' + e.message));
  page.on('console', (m) => { if (m.type() === 'error' && !/401|403|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|502|503|404/.test(m.text())) errors.push('console: ' + m.text()); });
  page.on('dialog', (d) => { errors.push('a dialog opened: ' + d.message()); d.dismiss(); });
  await page.goto(url);
  return page;
}
export async function signIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}
export async function end() {
  check('the error console is empty', errors.length === 0, errors.join('\n'));
  await browser.close();
  process.exit(failed ? 1 : 0);
}
