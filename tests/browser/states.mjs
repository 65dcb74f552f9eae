// The page in states that a dispatcher seldom is in, and with texts that none should say: told.mjs plays the dispatcher.
//   node states.mjs MODULES PAGE-FOLDER PICTURES
import { browse, check, fits, looks, signIn, until } from './lib.mjs';
import { tell } from './told.mjs';

const [modules, folder, pictures] = process.argv.slice(2);
const { open, picture, accessible, end } = await browse(modules, pictures);

// ---- What there is to tell

const now = Date.now(), iso = (ms) => new Date(ms).toISOString().slice(0, 19) + 'Z';
const oid = (n) => n.toString(16).padStart(8, '0').repeat(5);
const OUTCOMES = ['succeeded', 'failed', 'timed_out', 'cancelled', 'refused', 'lost'];

const well = () => ({
  status: 'running', version: '0.1.0', uptime_seconds: 93784, workers: { active: 3, max: 4, available: 1 }, memory: { total_mb: 8192, available_mb: 4096 },
  pulse: { enabled: true, interval_seconds: 3600 }, manager: 'docker', now_ms: Date.now(), locked: true, commit_url: 'https://forge.example/org/ops/commit/', dispatcher_id: 'edge-1',
  ops_repo: 'https://forge.example/org/ops.git', branch: 'main', queued: 2, recording: 0, draining: false, hold: null, poll: { ok: true, reason: null, tip: oid(42), last_ms: Date.now() - 3000 },
  engine: { ok: true, reason: null, version: '20.10.24' }, keyring: { ok: true, reason: null }, outbox: { ok: true, reason: null, waiting: 0 }, reports: { ok: true, reason: null, waiting: 0 },
  ledger: { claims: 'ledger', frozen: null, backlog: 0, overdue: [] }, roles: { core: 'up', git: 'up', keyring: 'up', engine: 'up', web: 'up' }, replaced: {}, misnamed: [], notes: [], separation: [],
});

const row = (id, more) => ({ id, state: 'finished', reason: null, formula: 'groom-backlog', attempt: 1, step: null, started_at: null, finished_at: null, outcome: null, exit_code: null, commit: oid(7), tier: 'low', approved_by: null, ...more });

// Two hundred of the last day, some at one time, the others older; a fifth did not go well.
function results(n) {
  const list = [];
  let seed = 1;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const formulas = ['groom-backlog', 'run-planner', 'release', 'publish-skill', 'rotate-secret'], people = ['alice@example.org', 'bob@example.org', 'carol.with-a-long-name@mail.example.org', null];
  for (let i = 0; i < n; i++) {
    const ended = now - (i < 200 ? random() * 86000000 : 86400000 + i * 120000) - 60000, took = 1000 + random() ** 4 * 5400000;
    const outcome = random() < 0.8 ? 'succeeded' : OUTCOMES[1 + Math.floor(random() * 5)], formula = formulas[i % 5];
    list.push(row(formula + '-' + (20000 + i), { formula, outcome, started_at: iso(ended - took), finished_at: iso(ended), exit_code: { succeeded: 0, failed: 3, timed_out: 124, cancelled: 130 }[outcome] ?? null,
      reason: outcome === 'succeeded' ? null : 'step publish ended with exit code 3', commit: oid(1000 + i), tier: ['low', 'medium', 'high'][i % 3], approved_by: people[i % 4] }));
  }
  return list;
}

const going = () => [
  row('publish-skill-20260331', { state: 'running', formula: 'clawhub-publish', step: 'announce', started_at: iso(now - 754000), tier: 'high', approved_by: 'alice@example.org' }),
  row('nightly-groom-of-the-backlog-with-quite-a-long-name-20260331', { state: 'running', step: 'groom', started_at: iso(now - 12000) }),
  row('rotate-7', { state: 'starting', formula: 'rotate-secret', tier: 'medium' }),
  row('release-1-4-2', { state: 'waiting', formula: 'release', reason: 'secret NPM_TOKEN can’t be opened: no identity of this dispatcher is among its recipients', tier: 'high' }),
  row('run-planner-9', { state: 'queued', formula: 'run-planner', tier: 'medium' }),
];

const proposals = () => [
  { id: 'release-1-5-0', head: oid(1), formula: 'release', context: 'Version 1.5.0: the importer reads the new format; changelog and tests are in the request.\nNobody waits for it before Monday.', secrets: ['NPM_TOKEN', 'SIGNING_KEY'],
    problem: null, tier: 'high', by: 'agent-7', proposed: iso(now - 4000000), pull: { number: 118, url: 'https://forge.example/org/ops/pulls/118', author: 'agent-7' } },
  { id: 'groom-20260401', head: oid(2), formula: 'groom-backlog', context: 'The backlog has 40 entries nobody has looked at this month.', secrets: [], problem: null, tier: 'low', by: 'agent-2', proposed: iso(now - 600000), pull: null },
  { id: 'rotate-8', head: oid(3), formula: 'rotate-secret', context: 'Key is 90 days old.', secrets: ['DEPLOY_KEY'], problem: 'the branch changes vault/formulas/rotate-secret.yaml too: propose that by itself', tier: 'medium', by: 'mallory', proposed: iso(now - 90000), pull: null },
];

const lines = Array.from({ length: 400 }, (_, i) => iso(now - 400000 + i * 1000) + ' step announce: line ' + i + (i % 7 ? '' : ' of a longer kind, with what a build says when it has compiled one more file: lib/text.c')).join('\n') + '\n';
const world = (more) => ({ status: well(), actions: [], pending: [], details: {}, logs: {}, ...more });
const busy = (n) => world({ actions: [...going(), ...results(n)], pending: proposals(), logs: { 'publish-skill-20260331': lines } });

function trouble() {
  const w = busy(20);
  Object.assign(w.status, {
    hold: 'the Docker Engine does not answer: connect: No such file or directory', misnamed: ['vault/actions/Hello.json', 'vault/actions/notes.txt', 'a', 'b', 'c', 'vault/formulas/old.yml', 'd'], notes: ['vault/actions/release-1.result.json was changed after it was recorded'],
    roles: { core: 'up', git: 'down', keyring: 'up', engine: 'up', web: 'up' }, replaced: { git: { times: 3, reason: 'it hangs', last_ms: now } }, separation: ['separation: all roles have one user'],
    poll: { ok: false, reason: 'https://forge.example/org/ops.git: could not connect', tip: oid(42), last_ms: now - 700000 },
    engine: { ok: false, reason: 'connect: No such file or directory', version: null }, outbox: { ok: false, reason: 'pre-receive hook declined', waiting: 4 },
    ledger: { claims: 'ledger', frozen: 'main was rewritten, or the server shows an older state: its tip 3f2c9ab does not descend from 81bd4e0', backlog: 12, overdue: [{ id: 'pay-invoice-4', dispatcher: 'edge-2', deadline: Math.floor(now / 1000) - 9000 }] },
  });
  w.status.pulse.interval_seconds = 2;
  return w;
}

async function start(w, options) {
  const told = await tell(folder, w);
  return [await open(told.url, { bypassCSP: true, ...options }), told];
}

async function enter(w, options) {
  const [page, told] = await start(w, options);
  await signIn(page, 'any');
  await page.locator('#content').waitFor();
  return [page, told];
}

async function leave(page, told) {
  await page.context().close();
  told.close();
}

// ---- Each state in each look, as a picture

for (const [look, options] of looks) {
  const full = { fullPage: true };
  let [page, told] = await start(world(), options);
  await page.locator('#sign-in').waitFor();
  await picture(page, 'sign-in-' + look);
  await accessible(page, look + ', signing in');
  await leave(page, told);

  [page, told] = await enter(world({ status: { ...well(), workers: { active: 0, max: 4, available: 4 }, queued: 0, locked: false, uptime_seconds: 4 } }), options);
  await until(look + ': nothing yet, and it says so', async () => /Nothing waits for approval.*Nothing runs.*Nothing waits.*Nothing ran.*Nothing has finished yet/s.test(await page.locator('#content').textContent()));
  await picture(page, 'empty-' + look, full);
  await accessible(page, look + ', with nothing to show');
  await leave(page, told);

  [page, told] = await enter(busy(200), options);
  await page.locator('.row.item').nth(5).waitFor();
  await fits(page, look + ', busy');
  await picture(page, 'busy-' + look, full);
  await accessible(page, look + ', busy');
  await page.locator('#running li', { hasText: 'publish-skill' }).getByRole('button', { name: 'Log' }).click();
  await until(look + ': a log that goes on', async () => /line 399/.test(await page.locator('#log-text').textContent()));
  await page.getByLabel('Find').fill('compiled');
  await page.getByRole('button', { name: 'Next' }).click();
  check(look + ': what is looked for is counted', /^2 of 58$/.test(await page.locator('#log-hits').textContent()), await page.locator('#log-hits').textContent());
  await fits(page, look + ', a log');
  await picture(page, 'log-' + look);
  await accessible(page, look + ', a log');
  await page.getByRole('button', { name: 'Cancel run' }).click();
  await picture(page, 'cancel-' + look);
  await accessible(page, look + ', a question');
  await page.getByRole('button', { name: 'Cancel it' }).click();
  await until(look + ': what came of it is said above the log', async () => page.locator('#notice').isVisible() && /publish-skill-20260331 is being cancelled/.test(await page.locator('#notice').textContent()));
  await picture(page, 'cancelled-' + look);
  await leave(page, told);

  [page, told] = await enter(trouble(), options);
  await page.locator('.alert').nth(3).waitFor();
  await fits(page, look + ', in trouble');
  await picture(page, 'trouble-' + look, full);
  await accessible(page, look + ', in trouble');
  told.close();
  await until(look + ': nobody at the other end', async () => /reconnecting/.test(await page.locator('#live').textContent()) && /does not answer/.test(await page.locator('#health').textContent()));
  await picture(page, 'away-' + look);
  await page.context().close();
}

// ---- What needs an operator is said, with what he can do

let [page, told] = await enter(trouble());
const said = await page.locator('#alerts').textContent();
for (const [what, regex] of [['a frozen branch', /Frozen.*3f2c9ab.*disinto accept-history/], ['a backlog', /12 actions.*disinto accept-backlog/], ['an overdue claim', /pay-invoice-4.*edge-2.*disinto settle pay-invoice-4 lost/],
  ['misnamed files', /Misnamed.*Hello\.json.*and 2 more/], ['a hold', /On hold.*Docker Engine/], ['an outbox', /pre-receive hook declined/], ['a note', /release-1\.result\.json was changed/]])
  check('it says ' + what, regex.test(said), said);
check('what is unwell is in the head', /could not connect.*down: git.*overdue/s.test(await page.locator('#health').textContent()), await page.locator('#health').textContent());
check('parity_B7 a poll that is too old is stale', /Last look.* min .*stale/s.test(await page.locator('#facts').textContent()), await page.locator('#facts').textContent());
told.say('status', well());
await until('and is taken back when it is mended', async () => (await page.locator('.alert').count()) === 0 && (await page.locator('#health').textContent()) === 'well');
check('parity_B7 id, slots, lock and the age of the last poll', /3 of 4.*[0-9]+ s ago.*ok.*latched.*edge-1/s.test(await page.locator('#facts').textContent()), await page.locator('#facts').textContent());
await leave(page, told);

// ---- Ten thousand results

[page, told] = await enter(busy(10000));
await until('ten thousand results are counted', async () => (await page.locator('#past-count').textContent()) === '10000');
check('only those in sight are in the page', (await page.locator('.row.item').count()) < 40, await page.locator('.row.item').count());
await page.locator('#past').evaluate((box) => { box.scrollTop = box.scrollHeight; });
await until('the last of them can be scrolled to', async () => (await page.locator('.row.item').last().getAttribute('aria-rowindex')) === '10001');
await page.locator('#search').fill('release-2 bob');
await until('a search says how many match', async () => /^[0-9]+ of 10000$/.test(await page.locator('#past-count').textContent()));
check('and shows nothing else', (await page.locator('.row.item').allTextContents()).every((t) => /release-2.*bob/.test(t)), await page.locator('.row.item').first().textContent());
await page.locator('#outcome').selectOption('failed');
await until('the outcome narrows it', async () => (await page.locator('.row.item').allTextContents()).every((t) => /^failed.*bob/.test(t)));
await page.locator('#search').fill('no such thing');
await until('nothing matches, and it says so', async () => /Nothing matches/.test(await page.locator('#past-none').textContent()) && page.locator('#past-none').isVisible());
await page.locator('#outcome').selectOption('');
await page.locator('#search').fill(oid(1003));
await until('a commit is found', async () => (await page.locator('.row.item').count()) === 1);
check('and leads to the forge', (await page.locator('.row.item a').getAttribute('href')) === 'https://forge.example/org/ops/commit/' + oid(1003), await page.locator('.row.item').innerHTML());

// ---- Signs and lanes

check('every outcome has a sign of its own', (await page.locator('#day .mark use').evaluateAll((all) => new Set(all.map((u) => u.getAttribute('href'))).size)) === 7);
check('runs at one time are in lanes of their own', await page.locator('#day .mark').evaluateAll((all) => {
  const boxes = all.map((m) => m.querySelector('.line')).filter(Boolean).map((l) => ({ y: +l.getAttribute('y'), from: +l.getAttribute('x'), to: +l.getAttribute('x') + +l.getAttribute('width') }));
  return boxes.length > 20 && new Set(boxes.map((b) => b.y)).size > 3 && boxes.every((a, i) => boxes.every((b, j) => i === j || a.y !== b.y || a.to <= b.from || b.to <= a.from));
}));
await leave(page, told);

// ---- Where commits are looked at

for (const [what, commit_url, href] of [['a forge under a path', 'https://site.example/forge/org/ops/commit/', 'https://site.example/forge/org/ops/commit/' + oid(1)], ['no forge', null, null]]) {
  const one = world();
  one.status = { ...one.status, commit_url };
  one.actions = [row('landed-1', { commit: oid(1), outcome: 'succeeded', started_at: iso(now - 5000), finished_at: iso(now) })];
  [page, told] = await enter(one);
  await page.locator('.row.item .commit').waitFor();
  check(what + ': a commit is shown', (await page.locator('.row.item .commit').textContent()) === oid(1).slice(0, 10));
  check(what + ': and leads there, if anywhere', (await page.locator('.row.item a').evaluateAll((all) => all.map((a) => a.href).join())) === (href || ''));
  await leave(page, told);
}

// ---- With the keyboard alone

[page, told] = await enter(busy(300));
await page.locator('.row.item').nth(5).waitFor();
const focused = () => page.evaluate(() => ({ text: document.activeElement.textContent, id: document.activeElement.id, label: document.activeElement.getAttribute('aria-label'), key: document.activeElement.closest('[data-key]')?.dataset.key }));
await page.keyboard.press('/');
check('the key / leads to the search', (await focused()).id === 'search');
await page.keyboard.press('Tab');
await page.keyboard.press('Tab');
await page.keyboard.press('Tab');
const first = (await focused()).key;
for (let i = 0; i < 30; i++) await page.keyboard.press('ArrowDown');
const there = await focused();
check('arrow keys lead down the list, past what was in sight', first && there.key && there.key !== first && there.text === there.key, JSON.stringify([first, there]));
check('and the row is in sight', await page.evaluate(() => { const a = document.activeElement.getBoundingClientRect(), b = document.getElementById('past').getBoundingClientRect(); return a.top >= b.top && a.bottom <= b.bottom + 1; }));
await page.keyboard.press('Enter');
await until('the enter key opens it', async () => (await page.locator('#log-title').textContent()) === there.key);
await page.keyboard.press('Escape');
check('the escape key closes it, and leads back', (await page.locator('#log').isHidden()) && (await focused()).key === there.key, JSON.stringify(await focused()));
await page.locator('#running li').first().getByRole('button', { name: 'Cancel' }).focus();
told.say('run', { ...going()[0], step: 'another' });
told.say('run', { ...going()[1], state: 'recording' });
await until('the page goes on', async () => /step another/.test(await page.locator('#running').textContent()) && /recording/.test(await page.locator('#running').textContent()));
check('what happens meanwhile takes nobody’s place', /Cancel/.test((await focused()).text) && (await focused()).key === going()[0].id, JSON.stringify(await focused()));
await page.locator('#running li').nth(1).getByRole('button', { name: 'Log' }).focus();
told.say('run', { ...going()[1], state: 'running' });
await until('a row is made anew', async () => !/recording/.test(await page.locator('#running').textContent()));
check('not even of the row that is made anew', (await focused()).text === 'Log' && (await focused()).key === going()[1].id, JSON.stringify(await focused()));
await page.locator('#day .mark[tabindex="0"]').focus();
const last = (await focused()).label;
await page.keyboard.press('ArrowLeft');
await until('arrow keys lead from run to run of the day', async () => (await focused()).label !== last && (await page.locator('#day-note').textContent()).startsWith((await focused()).label.split(',')[0]));
await page.keyboard.press('Enter');
await until('where the enter key opens one too', async () => page.locator('#log').isVisible());
await leave(page, told);

// ---- A large log

[page, told] = await enter(world({ actions: [row('large-1', { outcome: 'succeeded', started_at: iso(now - 9000), finished_at: iso(now - 1000), exit_code: 0 })], logs: { 'large-1': lines.repeat(400) + 'x'.repeat(300000) + '\nthe last line\n[EXIT:0] ' + iso(now) + '\n' } }));
await page.locator('.row.item .open').click();
await until('a log of 13 MB comes to its end', async () => (await page.locator('#log-state').textContent()) === 'ended');
await until('and is there, every byte of it', async () => (await page.locator('#log-text').evaluate((e) => e.textContent.length)) === lines.length * 400 + 300000 + ('\nthe last line\n[EXIT:0] ' + iso(now) + '\n').length);
check('in pieces', await page.locator('#log-text > div').evaluateAll((all) => all.length > 100 && all.every((e) => e.textContent.length <= 65536 + 16384)));
await page.getByLabel('Find').fill('the last line');
check('in which things are found', (await page.locator('#log-hits').textContent()) === '1 of 1', await page.locator('#log-hits').textContent());
await leave(page, told);

// ---- Whatever is said, it is text

const hostile = '<img src=x onerror="window.taken=1">"\'><script>window.taken=1</script>&lt;\u202eright to left\u001b[2J\u0007{{x}}';
const url = 'javascript:window.taken=1';
const everywhere = (o) => (typeof o === 'string' ? hostile : Array.isArray(o) ? o.map(everywhere) : o && typeof o === 'object' ? Object.fromEntries(Object.entries(o).map(([k, v]) => [k, everywhere(v)])) : o);
const bad = trouble();
bad.status = { ...everywhere(bad.status), commit_url: url, workers: bad.status.workers };
const badRow = (id, state, outcome) => ({ ...everywhere(row(id, { step: '', reason: '', approved_by: '' })), id, state, outcome, started_at: iso(now - 5000), finished_at: outcome ? iso(now) : null });
bad.actions = [badRow(hostile, 'finished', hostile), badRow('r-' + hostile, 'running', null), badRow('w-' + hostile, 'waiting', null), badRow('plain', 'finished', 'failed')];
bad.pending = [{ ...everywhere(proposals()[0]), pull: { number: 1, url, author: hostile } }, { ...everywhere(proposals()[2]), pull: null }];
bad.logs = { plain: hostile + '\n[EXIT:1] ' + iso(now) + '\n' };
bad.details = { plain: { reason: hostile, steps: [{ id: hostile, exit_code: 1, duration_ms: 5 }], result: { image: hostile, approval: { mode: hostile, by: hostile }, commit: hostile } } };
[page, told] = await enter(bad);
await page.locator('.row.item').nth(1).waitFor();
await page.locator('.row.item .open', { hasText: 'plain' }).click();
await until('threat_49 a log is shown', async () => (await page.locator('#log-state').textContent()) === 'ended');
await until('threat_49 and what is known of it', async () => /⟨U\+202E⟩.*Reason.*⟨U\+202E⟩/s.test(await page.locator('#log-facts').textContent()));
await page.waitForTimeout(1500); // each second something is written anew
check('threat_49 none of it is markup', (await page.locator('img, script:not([src]), iframe, [onerror]').count()) === 0);
check('threat_49 none of it ran', (await page.evaluate(() => window.taken)) === undefined);
check('threat_49 no link leads into it', (await page.locator('a').evaluateAll((all) => all.every((a) => /^https?:$/.test(a.protocol)))));
const words = await page.evaluate(() => document.documentElement.textContent + [...document.querySelectorAll('*')].flatMap((e) => [...e.attributes].filter((a) => a.name !== 'data-key' && a.name !== 'class' && a.name !== 'href').map((a) => a.value)).join());
check('threat_49 nothing turns text round or commands a terminal', !/[\u202e\u001b\u0007]/.test(words), JSON.stringify(words.match(/.{60}[\u202e\u001b\u0007]/)));
check('threat_49 it is shown as what it is', (words.match(/<img src=x/g) || []).length > 30, (words.match(/<img src=x/g) || []).length);
await picture(page, 'hostile-log');
await page.keyboard.press('Escape');
await picture(page, 'hostile', { fullPage: true });
await fits(page, 'threat_49 hostile text');
await page.setViewportSize({ width: 375, height: 800 });
await fits(page, 'threat_49 hostile text, on a phone');
await picture(page, 'hostile-phone', { fullPage: true });
await leave(page, told);

await end();
