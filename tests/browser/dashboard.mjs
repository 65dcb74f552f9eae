// The dashboard in a real browser, as a person uses it, with a dispatcher that runs. Called by tests/e2e/dashboard.sh:
//   node dashboard.mjs MODULES URL READ-TOKEN OPERATE-TOKEN PICTURES CONTROL
// CONTROL: a folder for asking the script for what a person would do elsewhere: a file `ask` with a word in it, answered by removing it.
import { existsSync, writeFileSync, renameSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { browse, check, fits, looks, signIn, sleep, until } from './lib.mjs';

const [modules, dispatcher, reader, operator, pictures, control] = process.argv.slice(2);
const { open, picture, accessible, errors, end } = await browse(modules, pictures);

async function ask(word) {
  writeFileSync(control + '/ask.new', word);
  renameSync(control + '/ask.new', control + '/ask');
  while (existsSync(control + '/ask')) await sleep(50);
}

// Between the page and the dispatcher: connections that break, and some over which nothing comes any more.
const wires = new Set();
let silent = false;
const proxy = createServer((from) => {
  const to = connect(new URL(dispatcher).port, '127.0.0.1');
  for (const [a, b] of [[from, to], [to, from]]) {
    wires.add(a);
    a.on('data', (bytes) => { if (!silent) b.write(bytes); });
    a.on('error', () => {});
    a.on('close', () => { wires.delete(a); b.destroy(); });
  }
});
await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
const url = 'http://127.0.0.1:' + proxy.address().port + '/';
const breakWires = () => wires.forEach((w) => w.destroy());

// Which events the page hears from now on, and which place in them it asks for when it comes again.
async function listenIn(page) {
  const places = [];
  await page.evaluate(() => {
    const as = window.hear;
    window.heard = [];
    window.hear = (type, data) => { window.heard.push(type); as(type, data); };
  });
  page.on('request', (r) => { if (r.url().endsWith('/events')) places.push(r.headers()['last-event-id']); });
  return places;
}
const heard = (page) => page.evaluate(() => window.heard);

// Signing in
let page = await open(url, { bypassCSP: true });
await until('without a token the head tells how the dispatcher is', async () => /well/.test(await page.locator('#health').textContent()));
check('without a token nothing else is shown', await page.locator('#content').isHidden());
await accessible(page, 'signing in');
await signIn(page, 'nonsense');
await until('a wrong token is said to be wrong', async () => /does not open/.test(await page.locator('#sign-in-error').textContent()));
await picture(page, 'wrong-token');
await signIn(page, reader);
await until('a token opens it', async () => page.locator('#content').isVisible());
check('the token is kept for the tab only', await page.evaluate(() => Object.keys(localStorage).length === 0 && !document.cookie && !!sessionStorage.getItem('token')));
await page.reload();
await until('and survives a reload', async () => page.locator('#content').isVisible());

// What is, at a glance
await until('what runs is shown with its step and how long', async () => /follow.*step.* s/s.test(await page.locator('#running').textContent()));
await until('what waits is shown with the reason', async () => /waiting-1.*identity|waiting-1.*secret/s.test(await page.locator('#waiting').textContent()));
await until('what a human has to decide is shown with tier and secrets', async () => /pending-1.*high tier.*TOKEN.*<img/s.test(await page.locator('#pending').textContent()));
check('threat_49 as text', (await page.locator('#pending img').count()) === 0);
await until('what was is shown', async () => (await page.locator('.row.item').count()) >= 3);
check('with outcome, duration and commit', /failed \(3\).*wrong-1.* s.*[0-9a-f]{10}/s.test(await page.locator('.row.item', { hasText: 'wrong-1' }).textContent()), await page.locator('.row.item', { hasText: 'wrong-1' }).textContent());
check('parity_C10 an API table', (await page.locator('footer table tr').count()) >= 5, await page.locator('footer').innerHTML());
check('parity_B7 the head has slots, lock, id and the age of the last poll', /of 4.*ok, every 1 s.*5 of 5 up.*latched.*version/s.test(await page.locator('#facts').textContent()), await page.locator('#facts').textContent());
check('what can not be opened is said', /Secrets.*can’t be opened/.test(await page.locator('#alerts').textContent()), await page.locator('#alerts').textContent());
check('the picture of the day has every run that started', (await page.locator('#day .mark').count()) >= 5, await page.locator('#day .mark').count());
await picture(page, 'overview', { fullPage: true });
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
check('threat_49 its markup is not markup', (await page.locator('#log-text script, #log-text img').count()) === 0);
check('threat_49 nothing turns its text round', /⟨U\+202E⟩ right to left/.test(await page.locator('#log-text').textContent()), await page.locator('#log-text').textContent());
check('threat_49 nor takes the title', (await page.title()) === 'disinto');
await picture(page, 'log-hostile');
await page.getByLabel('Find').fill('script');
await until('find in the log', async () => /1 of 2/.test(await page.locator('#log-hits').textContent()));
const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
check('the log is downloaded under its name', /^hostile-\d+\.log$/.test(download.suggestedFilename()), download.suggestedFilename());
await page.keyboard.press('Escape');
check('Escape closes the log', await page.locator('#log').isHidden());

// A running log, followed to its end over whatever happens
const times = async (text) => (await page.locator('#log-text').textContent()).split(text).length - 1;
const places = await listenIn(page);
await page.locator('#running li', { hasText: 'follow' }).getByRole('button', { name: 'Log' }).click();
await until('the beginning of a running log', async () => /before the gate/.test(await page.locator('#log-text').textContent()));
breakWires();
await until('a dropped connection is taken up again', async () => places.length === 1 && (await page.locator('#live').textContent()) === 'live' && (await heard(page)).length > 0);
check('where it broke off', places[0] && !(await heard(page)).includes('snapshot'), JSON.stringify([places, await heard(page)]));
await until('so is the log', async () => (await page.locator('#log-state').textContent()) === 'following');
await page.getByRole('button', { name: 'Pause' }).click();
await ask('restart');
await until('a restart of the dispatcher is outlived', async () => (await heard(page)).includes('snapshot') && (await page.locator('#live').textContent()) === 'live');
await until('the log is followed again', async () => (await page.locator('#log-state').textContent()) === 'following');
await ask('gate');
await until('it comes to its end', async () => (await page.locator('#log-state').textContent()) === 'ended');
check('of which nothing is shown while it is paused', (await times('\nend\n')) === 0, await page.locator('#log-text').textContent());
await page.getByRole('button', { name: 'Go on' }).click();
await until('and all of it afterwards', async () => (await times('\nend\n')) === 1);
check('each line once', (await times('before the gate')) === 1 && (await times('[EXIT:0]')) === 1, await page.locator('#log-text').textContent());
await until('with its outcome', async () => /succeeded/.test(await page.locator('#log-facts').textContent()));
await picture(page, 'log-followed');
await page.getByRole('button', { name: 'Close' }).click();
await until('what ended has moved to the finished ones', async () => /follow/.test(await page.locator('#past-space').textContent()));

// Cancelling asks first, and takes the right token
await page.locator('#running li', { hasText: 'endless' }).getByRole('button', { name: 'Cancel' }).click();
await page.getByRole('button', { name: 'Keep it' }).click();
await sleep(300);
check('cancelling can be thought better of', /endless/.test(await page.locator('#running').textContent()));
await page.locator('#running li', { hasText: 'endless' }).getByRole('button', { name: 'Cancel' }).click();
await page.getByRole('button', { name: 'Cancel it' }).click();
await until('a reader can not cancel, and is told why', async () => /needs operate/.test(await page.locator('#notice').textContent()));
await picture(page, 'not-cancelled');
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
await until('and takes a proposal back', async () => /Nothing waits for approval/.test(await page.locator('#pending').textContent()));
await until('an operator cancels', async () => /cancelled/.test(await page.locator('.row.item', { hasText: 'endless' }).textContent()));
await page.context().close();

// A connection over which nothing comes any more, though nobody closed it
page = await open('about:blank', {});
await page.clock.install();
await page.goto(url);
await signIn(page, reader);
await until('it opens', async () => (await page.locator('.row.item').count()) >= 3);
const again = await listenIn(page);
silent = true;
await page.clock.fastForward(60000);
await until('a silent connection is given up', async () => again.length > 0);
silent = false;
breakWires();
await until('and another one works', async () => { await page.clock.fastForward(1000); return (await page.locator('#live').textContent()) === 'live' && (await heard(page)).length > 0; });
await page.context().close();

// In each look
for (const [look, options] of looks) {
  page = await open(url, { bypassCSP: true, ...options });
  await signIn(page, reader);
  await until(look + ': it opens', async () => (await page.locator('.row.item').count()) >= 3);
  await fits(page, look);
  await page.locator('.row.item .open', { hasText: 'hostile' }).click();
  await until(look + ': a log', async () => /<script>/.test(await page.locator('#log-text').textContent()));
  await fits(page, look + ', a log');
  await page.context().close();
}

// With its policy in force (the checks above have axe put into the page, which it would not let in)
page = await open(url, {});
await signIn(page, reader);
await until('it works under its own content policy', async () => (await page.locator('.row.item').count()) >= 3);
check('which lets in no script from elsewhere', await page.addScriptTag({ content: 'window.injected = 1' }).then(() => page.evaluate(() => window.injected !== 1), () => true));
errors.splice(0, errors.length, ...errors.filter((e) => !/Content Security Policy/.test(e)));
await end();
