// What the browser's tests share: checks in TAP's words, a page whose errors are kept, pictures, axe.
import { createRequire } from 'node:module';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
let failed = 0;

export function check(what, good, seen) {
  console.log((good ? 'ok' : 'not ok') + ' - ' + what);
  if (!good) {
    failed++;
    console.log('# ' + String(seen).slice(0, 1000).replaceAll('\n', '\n# '));
  }
}

export async function until(what, fn) {
  for (let i = 0; i < 300; i++) {
    if (await fn().catch(() => false)) return check(what, true);
    await sleep(100);
  }
  check(what, false, 'waited in vain');
}

export const looks = [
  ['desktop', { viewport: { width: 1280, height: 900 } }],
  ['desktop-dark', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }],
  ['phone', { viewport: { width: 375, height: 800 }, hasTouch: true }],
  ['phone-dark', { viewport: { width: 375, height: 800 }, hasTouch: true, colorScheme: 'dark' }],
];

// Life: browse -> open, picture, accessible -> end, which ends the process.
export async function browse(modules, pictures) {
  const require = createRequire(modules + '/');
  const { chromium } = require('playwright-core');
  const axe = require.resolve('axe-core/axe.min.js');
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  const errors = [];

  // An answer that the page is meant to get is no error of the page.
  const isAnswer = (text) => /status of (401|403|404|502|503)|net::ERR_(CONNECTION|INCOMPLETE|EMPTY)/.test(text);

  async function open(url, options) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.on('pageerror', (e) => errors.push('page: ' + e.message));
    page.on('console', (m) => { if (m.type() === 'error' && !isAnswer(m.text())) errors.push('console: ' + m.text()); });
    page.on('dialog', (d) => { errors.push('a dialog opened: ' + d.message()); d.dismiss(); });
    await page.goto(url);
    return page;
  }

  const picture = (page, name, options) => page.screenshot({ path: pictures + '/' + name + '.png', ...options });

  async function accessible(page, what) {
    await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)));
    await page.addScriptTag({ path: axe }).catch(() => {});
    const found = await page.evaluate(() => (window.axe ? window.axe.run() : null));
    const bad = found ? found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical') : ['axe did not load'];
    check('accessible: ' + what, bad.length === 0, JSON.stringify(bad.map((v) => [v.id, v.nodes && v.nodes.map((n) => n.target + ' ' + n.failureSummary)]), null, 1));
  }

  async function end() {
    check('the error console is empty', errors.length === 0, errors.join('\n'));
    await browser.close();
    process.exit(failed ? 1 : 0);
  }

  return { open, picture, accessible, errors, end };
}

export async function signIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

export async function fits(page, what) {
  const widest = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(what + ': nothing is wider than the screen', widest <= 0, widest);
}
