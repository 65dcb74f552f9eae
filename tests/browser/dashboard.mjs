// The dashboard in a real browser, as a person uses it. Called by tests/e2e/dashboard.sh:
//   node dashboard.mjs MODULES URL READ-TOKEN OPERATE-TOKEN PICTURES CONTROL
// CONTROL: a folder for asking the script for what a person would do elsewhere: a file `ask` with a word in it, answered by removing it.
import { existsSync, writeFileSync, renameSync } from 'node:fs';
import { check, end, errors, open as openAt, require, signIn, sleep, until } from './lib.mjs';

const [, url, reader, operator, pictures, control] = process.argv.slice(2);
const axe = require.resolve('axe-core/axe.min.js');
const open = (options) => openAt(url, options);
async function ask(word) {
  writeFileSync(control + '/ask.new', word);
  renameSync(control + '/ask.new', control + '/ask');
  while (existsSync(control + '/ask')) await sleep(50);
}

const picture = (page, name) => page.screenshot({ path: pictures + '/' + name + '.png', fullPage: false });
async function accessible(page, what) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)));
  await page.addScriptTag({ path: axe }).catch(() => {});
  const found = await page.evaluate(() => (window.axe ? window.axe.run() : null));
  const bad = found ? found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical') : ['axe did not load'];
  check('accessible: ' + what, bad.length === 0, JSON.stringify(bad.map((v) => [v.id, v.nodes && v.nodes.map((n) => n.target + ' ' + n.failureSummary)]), null, 1));
}

// Signing in
let page = await open({ bypassCSP: true });
await until('without a token the head tells how the dispatcher is', async () => /well/.test(await page.locator('#health').textContent()));
check('without a token nothing else is shown', await page.locator('#content').isHidden());
await picture(page, 'sign-in');
await accessible(page, 'signing in');
await signIn(page, 'nonsense');
await until('a wrong token is said to be wrong', async () => /does not open/.test(await page.locator('#sign-in-error').textContent()));
await signIn(page, reader);
await until('a token opens it', async () => page.locator('#content').isVisible());
check('the token is kept for the tab only', await page.evaluate(() => Object.keys(localStorage).length === 0 && !document.cookie && !!sessionStorage.getItem('token')));
await page.reload();
await until('and survives a reload', async () => page.locator('#content').isVisible());

// What is, at a glance
await until('what runs is shown with its step', async () => /follow.*step/s.test(await page.locator('#running').textContent()));
await until('what waits is shown with the reason', async () => /waiting-1.*identity|waiting-1.*secret/s.test(await page.locator('#waiting').textContent()));
await until('what a human has to decide is shown with tier and secrets', async () => /pending-1.*high tier.*TOKEN.*<img/s.test(await page.locator('#pending').textContent()));
check('as text', (await page.locator('#pending img').count()) === 0);
await until('what was is shown', async () => (await page.locator('.row.item').count()) >= 3);
check('parity_C10 an API table', (await page.locator('footer table tr').count()) >= 5, await page.locator('footer').innerHTML());
check('the picture of the day has every run that started', (await page.locator('#day rect').count()) >= 3, await page.locator('#day rect').count());
await picture(page, 'overview');
await accessible(page, 'overview');

// Search and filter
await page.keyboard.press('/');
check('the key / leads to the search', await page.evaluate(() => document.activeElement.id === 'search'));
await page.keyboard.type('hostile');
await until('search narrows the list', async () => (await page.locator('.row.item').count()) === 1);
await page.locator('#search').fill('');
await page.locator('#outcome').selectOption('failed');
await until('filter by outcome', async () => (await page.locator('.row.item').allTextContents()).every((t) => t.startsWith('failed')) && (await page.locator('.row.item').count()) >= 1);
await page.locator('#outcome').selectOption('');

// A hostile log is text
await page.locator('.row.item .open', { hasText: 'hostile' }).click();
await until('a log is shown', async () => /<script>/.test(await page.locator('#log-text').textContent()));
check('its markup is not markup', (await page.locator('#log-text script, #log-text img').count()) === 0);
check('nothing turns its text round', /⟨U\+202E⟩ right to left/.test(await page.locator('#log-text').textContent()), await page.locator('#log-text').textContent());
check('nor takes the title', (await page.title()) === 'disinto');
await picture(page, 'log-hostile');
await accessible(page, 'a log');
await page.locator('#log-search').fill('script');
await until('find in the log', async () => /found/.test(await page.locator('#log-hits').textContent()));
const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
check('the log is downloaded under its name', /^hostile-\d+\.log$/.test(download.suggestedFilename()), download.suggestedFilename());
await page.keyboard.press('Escape');
check('Escape closes the log', await page.locator('#log').isHidden());

// A running log, followed to its end
await page.locator('#running li', { hasText: 'follow' }).getByRole('button', { name: 'Log' }).click();
await until('the beginning of a running log', async () => /before the gate/.test(await page.locator('#log-text').textContent()));
await page.getByRole('button', { name: 'Pause' }).click();
await ask('restart');
await until('a broken connection is said', async () => /broke|ended/.test(await page.locator('#log-state').textContent()));
await page.getByRole('button', { name: 'Close' }).click();
await until('the page is live again after a restart of the dispatcher', async () => (await page.locator('#live').textContent()) === 'live' && /follow/.test(await page.locator('#running').textContent()));
await page.locator('#running li', { hasText: 'follow' }).getByRole('button', { name: 'Log' }).click();
await until('the running log again, from its first byte', async () => /before the gate/.test(await page.locator('#log-text').textContent()));
await ask('gate');
await until('to its last', async () => /\nend\n/.test(await page.locator('#log-text').textContent()));
await until('and its end', async () => (await page.locator('#log-state').textContent()) === 'ended');
await until('with its outcome', async () => /succeeded/.test(await page.locator('#log-facts').textContent()));
await page.getByRole('button', { name: 'Close' }).click();
await until('what ended has moved to the finished ones', async () => /follow/.test(await page.locator('#past-space').textContent()));

// Cancelling asks first, and takes the right token
await page.locator('#running li', { hasText: 'endless' }).getByRole('button', { name: 'Cancel' }).click();
await picture(page, 'cancel');
await page.getByRole('button', { name: 'Keep it running' }).click();
await sleep(300);
check('cancelling can be thought better of', /endless/.test(await page.locator('#running').textContent()));
await page.locator('#running li', { hasText: 'endless' }).getByRole('button', { name: 'Cancel' }).click();
await page.getByRole('button', { name: 'Cancel it' }).click();
await until('a reader can not cancel, and is told why', async () => /needs operate/.test(await page.locator('#live').textContent()));
await page.getByRole('button', { name: 'Sign out' }).click();
await until('signing out shows nothing any more', async () => page.locator('#content').isHidden());
check('and forgets the token', await page.evaluate(() => !sessionStorage.getItem('token')));
await signIn(page, operator);
await until('the other token', async () => /endless/.test(await page.locator('#running').textContent()));
await page.locator('#running li', { hasText: 'endless' }).getByRole('button', { name: 'Cancel' }).click();
await page.getByRole('button', { name: 'Cancel it' }).click();
await page.locator('#pending li', { hasText: 'pending-1' }).getByRole('button', { name: 'Withdraw' }).click();
await picture(page, 'withdraw');
await page.getByRole('button', { name: 'Withdraw it' }).click();
await until('and takes a proposal back', async () => /nothing waits for approval/.test(await page.locator('#pending').textContent()));
await until('an operator cancels', async () => /cancelled/.test(await page.locator('.row.item', { hasText: 'endless' }).textContent()));
await page.context().close();

// Other eyes
for (const [name, options] of [['dark', { colorScheme: 'dark' }], ['phone', { viewport: { width: 375, height: 800 }, hasTouch: true }], ['phone-dark', { viewport: { width: 375, height: 800 }, colorScheme: 'dark' }]]) {
  page = await open({ bypassCSP: true, ...options });
  await signIn(page, reader);
  await until(name + ': it opens', async () => (await page.locator('.row.item').count()) >= 3);
  check(name + ': nothing is wider than the screen', await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), await page.evaluate(() => document.documentElement.scrollWidth));
  await picture(page, name);
  await accessible(page, name);
  await page.locator('.row.item .open', { hasText: 'hostile' }).click();
  await until(name + ': a log', async () => /<script>/.test(await page.locator('#log-text').textContent()));
  await picture(page, name + '-log');
  await page.context().close();
}

// With its policy in force (the checks above have axe put into the page, which it would not let in)
page = await open({});
await signIn(page, reader);
await until('it works under its own content policy', async () => (await page.locator('.row.item').count()) >= 3);
check('which lets in no script from elsewhere', await page.addScriptTag({ content: 'window.injected = 1' }).then(() => page.evaluate(() => window.injected !== 1), () => true));
errors.splice(0, errors.length, ...errors.filter((e) => !/Content Security Policy/.test(e)));
await end();
