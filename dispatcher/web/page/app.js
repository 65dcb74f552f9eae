// The dashboard: one snapshot, then events. Everything that comes from outside is put in as text, never as markup.
'use strict';

const $ = (id) => document.getElementById(id);
const rows = new Map(); // id -> row of /actions
let pending = []; // rows of /pending
let pendingTotal = 0;
let status = null;
let clockAhead = 0; // ms that the dispatcher's clock is ahead of ours
let token = sessionStorage.getItem('token') || '';

// ---- Putting things into the page

function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined && text !== null) e.textContent = visible(String(text));
  return e;
}

function pair(list, label, value) {
  const box = make('div'), dd = value.tagName === 'DD' ? value : make('dd');
  if (dd !== value) dd.append(value instanceof Node ? value : visible(String(value)));
  box.append(make('dt', '', label), dd);
  list.append(box);
  return box;
}

// Only what changed is touched: neither a reader's voice nor his place in the page is disturbed.
function say(e, text) {
  const safe = visible(text);
  if (e.textContent !== safe) e.textContent = safe;
}

const madeOf = new WeakMap();

// The box's children become those of the list [{key, as, make}]: one that is still made of the same (`as`) stays the element that it is, with its focus.
function keep(box, list) {
  const old = new Map([...box.children].map((e) => [e.dataset.key, e]));
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && { key: focused.closest('[data-key]')?.dataset.key, text: focused.textContent };
  const wanted = list.map((item) => {
    const was = old.get(item.key);
    if (was && madeOf.get(was) === item.as) return was;
    const e = item.make();
    e.dataset.key = item.key;
    madeOf.set(e, item.as);
    return e;
  });
  const stay = new Set(wanted);
  for (const e of [...box.children]) if (!stay.has(e)) e.remove();
  let at = box.firstElementChild;
  for (const e of wanted) {
    if (e === at) at = at.nextElementSibling;
    else box.insertBefore(e, at);
  }
  if (focused && !box.contains(focused)) {
    const e = wanted.find((w) => w.dataset.key === place.key);
    [...(e ? e.querySelectorAll('button, a') : [])].find((b) => b.textContent === place.text)?.focus({ preventScroll: true });
  }
}

// Control and format characters are shown as what they are: nothing that comes from a run turns, hides or overwrites other text.
const FORMAT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const shownAs = (c) => (c < ' ' ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : '⟨U+' + c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0') + '⟩');
const visible = (text) => text.replace(FORMAT, shownAs);

function notice(text) {
  const box = $('notice');
  say(box, text);
  box.hidePopover?.();
  box.showPopover?.(); // above a dialog too
  clearTimeout(box.timer);
  box.timer = setTimeout(() => box.hidePopover?.(), 8000);
}

const word = (kind) => visible(String(kind).replace('_', ' '));

// ---- Times

const now = () => Date.now() + clockAhead;
const time = (text) => (text ? Date.parse(text) : NaN);

function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 1) return 'under 1 s';
  if (s < 120) return s + ' s';
  if (s < 7200) return Math.floor(s / 60) + ' min ' + (s % 60) + ' s';
  if (s < 172800) return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
  return Math.floor(s / 86400) + ' days';
}

// "14:03:09", and the day where it is not today.
function clock(t) {
  if (!t) return '–';
  const d = new Date(t), two = (n) => String(n).padStart(2, '0');
  const day = [d.getFullYear(), two(d.getMonth() + 1), two(d.getDate())].join('-'), hour = [d.getHours(), d.getMinutes(), d.getSeconds()].map(two).join(':');
  return d.toDateString() === new Date(now()).toDateString() ? hour : day + ' ' + hour;
}

const took = (r) => (r.started_at ? duration((r.finished_at ? time(r.finished_at) : now()) - time(r.started_at)) : '–');

// ---- Asking

function headers(more) {
  return Object.assign(token ? { Authorization: 'Bearer ' + token } : {}, more);
}

async function call(method, path) {
  const answer = await fetch(path, { method, headers: headers(), cache: 'no-store' });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.error || 'answered ' + answer.status), { status: answer.status });
  return body;
}

// ---- The head of the page, which is open to all

const some = (list) => list.slice(0, 5).join(', ') + (list.length > 5 ? ' and ' + (list.length - 5) + ' more' : '');

// What needs an operator, and what he can do: [what, text, command].
function alerts(s) {
  const list = [], ledger = s.ledger || {}, overdue = ledger.overdue || [];
  if (ledger.frozen) list.push(['Frozen', ledger.frozen + '. Nothing new starts; look at what changed, then:', 'disinto accept-history']);
  if (s.draining) list.push(['Draining', 'Nothing new starts, and the dispatcher ends once the last result has landed.']);
  else if (s.hold && s.hold !== ledger.frozen) list.push(['On hold', 'Nothing new starts: ' + s.hold]);
  if (ledger.backlog) list.push(['Backlog', ledger.backlog + ' actions had landed before there was a ledger. To let them run:', 'disinto accept-backlog']);
  for (const claim of overdue.slice(0, 5))
    list.push(['Overdue', claim.id + ', claimed by ' + claim.dispatcher + ', should have ended by ' + clock(1000 * claim.deadline) + '. Make sure that it does not run there, then:', 'disinto settle ' + claim.id + ' lost']);
  if (overdue.length > 5) list.push(['Overdue', 'and ' + (overdue.length - 5) + ' more:', 'disinto status --json']);
  if (s.outbox && !s.outbox.ok) list.push(['Results', 'can’t be pushed: ' + s.outbox.reason]);
  if (s.reports && !s.reports.ok) list.push(['Results', s.reports.waiting + ' can’t be told on the forge: ' + s.reports.reason]);
  if (s.keyring && !s.keyring.ok) list.push(['Secrets', 'can’t be opened: ' + s.keyring.reason]);
  if ((s.misnamed || []).length) list.push(['Misnamed', 'Files that run nothing: ' + some(s.misnamed)]);
  for (const note of (s.notes || []).slice(0, 5)) list.push(['Note', note]);
  return list;
}

function alertBox([what, text, command]) {
  const p = make('p', 'alert ' + (what === 'Note' || what === 'Misnamed' || what === 'Draining' ? 'mild' : ''));
  p.append(make('strong', '', what), ' ' + visible(text) + ' ');
  if (command) p.append(make('code', '', command));
  return p;
}

const downRoles = () => Object.entries(status.roles || {}).filter(([, state]) => state !== 'up').map(([name]) => name);

function pollAge() {
  return status.poll && status.poll.last_ms ? now() - status.poll.last_ms : -1;
}

// As /healthz has it: three intervals.
const isStale = () => pollAge() < 0 || pollAge() > 3000 * status.pulse.interval_seconds;

function troubles() {
  const list = [], down = downRoles();
  if (!status.poll || !status.poll.ok) list.push('the ops repo: ' + ((status.poll && status.poll.reason) || 'not looked at yet'));
  else if (isStale()) list.push('the ops repo was not looked at for ' + duration(pollAge()));
  if (status.engine && !status.engine.ok) list.push('the Docker Engine: ' + (status.engine.reason || 'does not answer'));
  if (down.length) list.push('down: ' + down.join(', '));
  if (((status.ledger || {}).overdue || []).length) list.push('overdue claims');
  return list;
}

function showHealth() {
  const list = troubles();
  $('health').className = 'health ' + (list.length ? 'unwell' : 'well');
  say($('health'), list.length ? list.join('; ') : 'well');
}

function showStatus() {
  if (!status) return;
  keep($('alerts'), alerts(status).map((alert) => ({ key: alert.join(), as: '', make: () => alertBox(alert) })));
  showHealth();
  showFacts();
}

const facts = {}; // label -> its <dd>

function fact(label, text, note, className) {
  if (!facts[label]) {
    facts[label] = make('dd');
    facts[label].append(make('span'), make('small'));
    pair($('facts'), label, facts[label]);
  }
  const [value, small] = facts[label].querySelectorAll('span, small');
  facts[label].className = className || '';
  say(value, text);
  say(small, note || '');
}

function showSlots() {
  const { active, max } = status.workers;
  fact('Slots in use', active + ' of ' + max, status.queued ? status.queued + ' wait' : 'nothing waits');
  let meter = facts['Slots in use'].querySelector('meter');
  if (!meter) {
    meter = make('meter');
    meter.setAttribute('aria-label', 'slots in use');
    facts['Slots in use'].prepend(meter);
  }
  Object.assign(meter, { min: 0, max, value: active });
}

function showFacts() {
  const all = Object.keys(status.roles || {}), down = downRoles();
  const replaced = Object.entries(status.replaced || {}).map(([name, r]) => name + ' replaced ' + r.times + (r.times === 1 ? ' time' : ' times'));
  const separated = (status.separation || []).length ? 'not separated' : 'separated';
  showSlots();
  fact('Last look', pollAge() < 0 ? 'not yet' : duration(pollAge()) + ' ago', isStale() ? 'stale' : 'ok, every ' + status.pulse.interval_seconds + ' s', isStale() ? 'bad' : '');
  fact('Engine', (status.engine && status.engine.version) || 'unknown', status.engine && status.engine.ok ? 'ok' : 'down', status.engine && status.engine.ok ? '' : 'bad');
  fact('Roles', all.length - down.length + ' of ' + all.length + ' up', down.length ? 'down: ' + down.join(', ') : [separated, ...replaced].join(', '), down.length ? 'bad' : '');
  fact('Lock', status.locked ? 'latched' : 'open', status.locked ? 'something has run here' : 'nothing has run here yet');
  fact('Dispatcher', status.dispatcher_id || '–', 'version ' + (status.version || '–') + ', up ' + duration(status.uptime_seconds * 1000));
  fact('Ops repo', status.ops_repo || '–', 'branch ' + (status.branch || '–') + (status.poll && status.poll.tip ? ' at ' + status.poll.tip.slice(0, 10) : ''));
}

function takeStatus(s) {
  status = s;
  clockAhead = Math.abs(s.now_ms - Date.now()) < 2000 ? 0 : s.now_ms - Date.now();
  showStatus();
}

// ---- What runs and waits

function button(text, className, fn) {
  const b = make('button', className, text);
  b.type = 'button';
  b.addEventListener('click', fn);
  return b;
}

function empty(text) {
  return { key: '', as: text, make: () => make('li', 'none', text) };
}

const isRunning = (r) => r.state === 'running' || r.state === 'starting' || r.state === 'recording';
const canCancel = (r) => r.state === 'running' || r.state === 'starting';
const runText = (r) => [r.formula, r.step && 'step ' + r.step, r.started_at && took(r)].filter(Boolean).join(' · ');

function card(r, text, buttons) {
  const li = make('li'), head = make('div', 'title'), bar = make('div', 'buttons');
  head.append(make('span', 'name', r.id), make('span', 'tag ' + r.state, r.state), ...(r.tier ? [tierTag(r.tier)] : []));
  bar.append(...buttons);
  li.append(head, make('p', 'what', text), bar);
  return li;
}

function tierTag(tier) {
  return make('span', 'tag tier-' + tier, tier + ' tier');
}

function showLists() {
  const all = [...rows.values()], running = all.filter(isRunning), waiting = all.filter((r) => r.state === 'waiting' || r.state === 'queued' || r.state === 'claiming');
  say($('running-count'), String(running.length || ''));
  say($('waiting-count'), String(waiting.length || ''));
  keep($('running'), running.length ? running.map((r) => ({ key: r.id, as: r.state + r.tier, make: () => card(r, runText(r), [
    button('Log', '', () => openLog(r.id)), ...(canCancel(r) ? [button('Cancel…', 'danger', () => cancel(r.id))] : [])]) })) : [empty('Nothing runs.')]);
  keep($('waiting'), waiting.length ? waiting.map((r) => ({ key: r.id, as: JSON.stringify(r), make: () => card(r, [r.formula, r.reason].filter(Boolean).join(' · '), [
    button('Cancel…', 'danger', () => cancel(r.id))]) })) : [empty('Nothing waits.')]);
  showElapsed();
}

function showElapsed() {
  for (const li of $('running').children) {
    const r = rows.get(li.dataset.key);
    if (r) say(li.querySelector('.what'), runText(r));
  }
}

// ---- What waits for a human: the only links that lead away from here are those to the forge

function link(url, text) {
  const a = make('a', '', text);
  a.href = url;
  a.rel = 'noreferrer noopener';
  return a;
}

function pendingCard(p) {
  const li = make('li'), head = make('div', 'title'), about = make('p', 'what'), bar = make('div', 'buttons');
  head.append(make('span', 'name', p.id));
  if (p.tier) head.append(tierTag(p.tier));
  if (p.problem) head.append(make('span', 'tag failed', 'can’t be approved'));
  const way = p.pull && /^https?:\/\//.test(p.pull.url) ? [link(p.pull.url, 'Request ' + p.pull.number)] : p.problem ? [] : [make('code', '', 'disinto approve ' + p.id)];
  const parts = [p.formula && 'formula ' + p.formula, (p.secrets || []).length ? 'secrets ' + p.secrets.join(', ') : 'no secrets', p.by && 'by ' + p.by, p.proposed && clock(time(p.proposed))];
  about.textContent = visible(parts.filter(Boolean).join(' · '));
  bar.append(...way, button('Withdraw…', 'danger', () => withdraw(p.id)));
  li.append(head, about, bar);
  if (p.context) li.append(make('p', 'context', p.context));
  if (p.problem) li.append(make('p', 'context problem', p.problem));
  return li;
}

function showPending() {
  const list = pending.map((p) => ({ key: p.id, as: JSON.stringify(p), make: () => pendingCard(p) }));
  if (pendingTotal > pending.length) list.push(empty('And ' + (pendingTotal - pending.length) + ' more: disinto pending'));
  say($('pending-count'), String(pendingTotal || ''));
  keep($('pending'), list.length ? list : [empty('Nothing waits for approval.')]);
}

async function loadPending() {
  const answer = await call('GET', 'pending');
  pending = answer.pending;
  pendingTotal = answer.total;
  showPending();
}

// ---- What was: only the rows in sight are in the page

let past = [];

const rowHeight = () => parseFloat(getComputedStyle($('past')).getPropertyValue('--row'));

function selectPast() {
  const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean), outcome = $('outcome').value;
  const all = [...rows.values()].filter((r) => r.state === 'finished');
  past = all.filter((r) => (!outcome || r.outcome === outcome) &&
    words.every((w) => [r.id, r.formula, r.reason, r.approved_by, r.commit, r.task_id, r.repo].some((t) => t && t.toLowerCase().includes(w))));
  past.sort((a, b) => (a.finished_at < b.finished_at ? 1 : a.finished_at > b.finished_at ? -1 : 0));
  say($('past-count'), !all.length ? '' : past.length === all.length ? String(all.length) : past.length + ' of ' + all.length);
  say($('past-none'), all.length ? 'Nothing matches.' : 'Nothing has finished yet.');
  $('past-none').hidden = past.length > 0;
  $('past').hidden = past.length === 0;
  $('past').setAttribute('aria-rowcount', past.length + 1);
  drawPast();
}

function cell(className, label, content) {
  const e = make('span', className);
  e.setAttribute('role', 'cell');
  if (label) e.dataset.label = label;
  e.append(...[content].flat());
  return e;
}

function pastRow(r) {
  const row = make('div', 'row item'), open = button(r.id, 'open name', () => openLog(r.id));
  row.setAttribute('role', 'row');
  open.title = visible(r.reason || '');
  row.append(cell('outcome ' + r.outcome, '', [sign(r.outcome), word(r.outcome) + (r.outcome === 'failed' && r.exit_code ? ' (' + r.exit_code + ')' : '')]), cell('', '', open), cell('formula', '', visible(r.formula || '–')),
    cell('when', '', clock(time(r.finished_at))), cell('took', '', took(r)), cell('by', '', visible(r.approved_by || '–')), cell('commit', '', r.commit ? commitOf(r.commit) : '–'));
  return row;
}

function drawPast() {
  const box = $('past'), high = rowHeight();
  $('past-space').style.height = past.length * high + 'px';
  const first = Math.max(0, Math.floor(box.scrollTop / high) - 5), last = Math.min(past.length, Math.ceil((box.scrollTop + box.clientHeight) / high) + 5);
  const today = new Date(now()).toDateString(), where = (status || {}).commit_url;
  keep($('past-space'), past.slice(first, last).map((r) => ({ key: r.id, as: JSON.stringify([r, today, where]), make: () => pastRow(r) })));
  [...$('past-space').children].forEach((row, i) => {
    row.style.top = (first + i) * high + 'px';
    row.setAttribute('aria-rowindex', first + i + 2);
  });
}

function stepPast(event) {
  const row = document.activeElement.closest('.row.item'), to = event.key === 'ArrowDown' ? row?.nextElementSibling : event.key === 'ArrowUp' ? row?.previousElementSibling : null;
  if (!to) return;
  event.preventDefault();
  to.querySelector('.open').focus();
}

// ---- Deciding

function confirm(question, text, no, yes, id, [done, undone]) {
  const box = $('confirm');
  say($('confirm-title'), question);
  say($('confirm-text'), text);
  say($('confirm-no'), no);
  say($('confirm-yes'), yes);
  box.returnValue = 'no';
  box.onclose = () => {
    if (box.returnValue !== 'yes') return;
    call('DELETE', 'workers/' + encodeURIComponent(id)).then(() => notice(id + ' ' + done + '.'), (e) => notice(id + ' ' + undone + ': ' + e.message));
  };
  box.showModal();
}

const cancel = (id) => confirm('Cancel ' + id + '?', 'What it did already is not undone.', 'Keep it', 'Cancel it', id, ['is being cancelled', 'is not cancelled']);
const withdraw = (id) => confirm('Withdraw ' + id + '?', 'Its request is closed and its branch removed.', 'Keep it', 'Withdraw it', id, ['is withdrawn', 'is not withdrawn']);

// ---- Events

const DRAW_MS = 200, SILENCE_MS = 45000; // the server says something every 15 s

let drawing = 0, dayIsOld = false;
let lastEvent = '', heardAt = 0;
let stream = null; // AbortController of /events
let turn = 0; // whoever listens for an older one stops

// However much happens, so often at most.
function draw() {
  if (drawing) return;
  drawing = setTimeout(() => {
    drawing = 0;
    showLists();
    selectPast();
    dayIsOld = true;
  }, DRAW_MS);
}

function hearRun(data) {
  if (data.forgotten) rows.delete(data.id);
  else rows.set(data.id, data);
  if (shown && shown.id === data.id) {
    $('log-cancel').hidden = !canCancel(data);
    showLogFacts(shown).catch(() => {});
  }
}

function hear(type, data) {
  if (type === 'status') {
    takeStatus(data);
  } else if (type === 'pending') {
    loadPending().catch(() => {});
  } else if (type === 'run') {
    hearRun(data);
    draw();
  } else if (type === 'snapshot') {
    rows.clear();
    for (const r of data.actions) rows.set(r.id, r);
    takeStatus(data.status);
    loadPending().catch(() => {});
    showLists();
    selectPast();
    showDay();
  }
}

function hearBlock(block) {
  let type = 'message', data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('id: ')) lastEvent = line.slice(4);
    else if (line.startsWith('event: ')) type = line.slice(7);
    else if (line.startsWith('data: ')) data += line.slice(6);
  }
  if (data) hear(type, JSON.parse(data));
}

function showLive(text) {
  $('live').className = 'live ' + (text === 'live' ? 'on' : '');
  say($('live'), text);
}

async function listen() {
  stream = new AbortController();
  heardAt = Date.now();
  const answer = await fetch('events', { headers: headers(lastEvent ? { 'Last-Event-ID': lastEvent } : {}), signal: stream.signal, cache: 'no-store' });
  if (!answer.ok) throw Object.assign(new Error((await answer.json().catch(() => ({}))).error || 'answered ' + answer.status), { status: answer.status });
  signedIn();
  showLive('live');
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heardAt = Date.now();
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    blocks.forEach(hearBlock);
  }
}

async function listenForEver() {
  const mine = ++turn;
  for (let wait = 500; ; wait = Math.min(wait * 2, 15000)) {
    const began = Date.now();
    try {
      await listen();
    } catch (e) {
      if (mine === turn && (e.status === 401 || e.status === 403)) return signedOut(token ? 'This token does not open it: ' + e.message + '.' : '');
    }
    if (Date.now() - began > 30000) wait = 500;
    if (mine === turn) showLive('reconnecting…');
    await new Promise((done) => setTimeout(done, wait));
    if (mine !== turn) return;
    showOpenStatus();
  }
}

// Without a token the head of the page still tells how the dispatcher is.
async function showOpenStatus() {
  try {
    takeStatus(await call('GET', 'status'));
  } catch (e) {
    $('health').className = 'health unwell';
    say($('health'), 'the dispatcher does not answer');
  }
}

function signedIn() {
  if ($('content').hidden) scrollTo(0, 0);
  $('sign-in').hidden = true;
  $('content').hidden = false;
  $('sign-out').hidden = false;
}

function signedOut(why) {
  turn++;
  if (stream) stream.abort();
  closeLog();
  token = '';
  sessionStorage.removeItem('token');
  rows.clear();
  lastEvent = '';
  $('content').hidden = true;
  $('sign-out').hidden = true;
  $('sign-in').hidden = false;
  say($('sign-in-error'), why);
  showLive('');
  $('token').focus();
}

// Each second: what grows by itself, and whether anybody is still there at the other end.
function tick() {
  if (stream && Date.now() - heardAt > SILENCE_MS) stream.abort();
  if (!status) return;
  showFacts();
  if ($('live').textContent === 'live' || $('content').hidden) showHealth();
  showElapsed();
  if (dayIsOld && !$('content').hidden) {
    dayIsOld = false;
    showDay();
  }
}

// ---- Begin

function begin() {
  const on = (id, type, fn) => $(id).addEventListener(type, fn);
  const again = () => { $('past').scrollTop = 0; selectPast(); };
  on('sign-in', 'submit', (event) => {
    event.preventDefault();
    token = $('token').value.trim();
    sessionStorage.setItem('token', token);
    $('token').value = '';
    listenForEver();
  });
  on('sign-out', 'click', () => signedOut(''));
  on('search', 'input', again);
  on('outcome', 'change', again);
  on('past', 'scroll', drawPast);
  on('past', 'keydown', stepPast);
  on('day', 'keydown', stepDay);
  on('log-close', 'click', closeLog);
  on('log', 'close', closeLog);
  on('log-pause', 'click', pauseLog);
  on('log-search', 'input', findInLog);
  on('log-search', 'keydown', (event) => { if (event.key === 'Enter') nextHit(event.shiftKey ? -1 : 1); });
  on('log-back', 'click', () => nextHit(-1));
  on('log-next', 'click', () => nextHit(1));
  on('log-download', 'click', downloadLog);
  on('log-cancel', 'click', () => { if (shown) cancel(shown.id); });
  document.addEventListener('keydown', (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key === '/' && !typing && !$('content').hidden && !document.querySelector('dialog[open]')) {
      event.preventDefault();
      $('search').focus();
    }
  });
  let width = 0;
  new ResizeObserver(() => {
    if (width === $('day').clientWidth) return;
    width = $('day').clientWidth;
    showDay();
    drawPast();
  }).observe($('day'));
  setInterval(tick, 1000);
  setInterval(() => { if ($('content').hidden) showOpenStatus(); else dayIsOld = true; }, 30000);
  showLegend();
  showOpenStatus();
  if (token) listenForEver();
  else signedOut('');
}
begin();
