// The dashboard: one snapshot, then events. Everything that comes from outside is put in as text, never as markup.
'use strict';

const $ = (id) => document.getElementById(id);
const rows = new Map(); // id -> row of /actions
let pending = []; // rows of /pending
let pendingTotal = 0;
let status = null;
let token = sessionStorage.getItem('token') || '';
let lastEvent = '';
let stream = null; // AbortController of /events

function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined && text !== null) e.textContent = visible(String(text));
  return e;
}

function pair(list, label, value) {
  const box = make('div');
  box.append(make('dt', '', label), value instanceof Node ? value : make('dd', '', value));
  list.append(box);
}

// Control and format characters are shown as what they are: nothing that comes from a run turns, hides or overwrites other text.
const FORMAT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const shownAs = (c) => (c < ' ' ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : '⟨U+' + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0') + '⟩');
const visible = (text) => text.replace(FORMAT, shownAs);

// ---- Times

function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 1) return 'under 1 s';
  if (s < 120) return s + ' s';
  if (s < 7200) return Math.floor(s / 60) + ' min ' + (s % 60) + ' s';
  return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
}

const time = (text) => (text ? Date.parse(text) : NaN);
const clock = (text) => (text ? new Date(text).toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' }) : '–');
const took = (r) => (r.started_at && r.finished_at ? duration(time(r.finished_at) - time(r.started_at)) : '–');

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

function alerts(s) {
  const list = [];
  if (s.frozen) list.push('Nothing new starts: ' + s.frozen);
  else if (s.hold) list.push('Nothing new starts: ' + s.hold);
  if (s.backlog) list.push(s.backlog + ' actions had landed before the ledger; they wait for: disinto accept-backlog');
  for (const claim of s.overdue || []) list.push('The claim of ' + claim.id + ' by ' + claim.dispatcher + ' is past its deadline; decide with: disinto settle ' + claim.id + ' lost');
  if (s.outbox && !s.outbox.ok) list.push('Results can’t be pushed: ' + s.outbox.reason);
  if (s.reports && !s.reports.ok) list.push(s.reports.waiting + ' results can’t be told on the forge: ' + s.reports.reason);
  if (s.keyring && !s.keyring.ok) list.push('Secrets can’t be opened: ' + s.keyring.reason);
  if (s.misnamed && s.misnamed.length) list.push('Files that run nothing: ' + s.misnamed.join(', '));
  for (const note of s.notes || []) list.push(note);
  if (s.draining) list.push('Draining: nothing new starts, and the dispatcher ends once the last result has landed.');
  return list;
}

function showStatus() {
  if (!status) return;
  const down = Object.entries(status.roles || {}).filter(([, state]) => state !== 'up').map(([name]) => name);
  const trouble = [];
  if (!status.poll || !status.poll.ok) trouble.push('the ops repo: ' + ((status.poll && status.poll.reason) || 'not looked at yet'));
  if (status.engine && !status.engine.ok) trouble.push('the Docker Engine: ' + (status.engine.reason || 'does not answer'));
  if (down.length) trouble.push('down: ' + down.join(', '));
  $('health').className = 'health ' + (trouble.length ? 'unwell' : 'well');
  $('health').textContent = trouble.length ? trouble.join('; ') : 'well';
  $('alerts').replaceChildren(...alerts(status).map((text) => make('p', 'alert', text)));
  showFacts();
}

function showFacts() {
  const list = $('fact-list');
  const slots = make('dd');
  const meter = make('meter');
  const { active, max } = status.workers;
  Object.assign(meter, { min: 0, max, value: active });
  meter.setAttribute('aria-label', 'slots in use');
  slots.append(meter, ' ' + active + ' of ' + max);
  list.replaceChildren();
  pair(list, 'Slots in use', slots);
  pair(list, 'Last look at the ops repo', status.poll && status.poll.last_ms ? duration(Date.now() - status.poll.last_ms) + ' ago' : 'not yet');
  pair(list, 'Engine', (status.engine && status.engine.version) || 'down');
  pair(list, 'Ops repo', (status.ops_repo || '') + ' ' + (status.branch || ''));
  pair(list, 'Dispatcher', (status.dispatcher_id || '') + ', version ' + (status.version || ''));
  pair(list, 'Up', duration(status.uptime_seconds * 1000));
}

// ---- What runs and waits

function card(r, what, buttons) {
  const li = make('li');
  li.dataset.id = r.id;
  li.append(make('span', 'name', r.id), make('span', 'tag ' + r.state, r.state), make('span', 'what', what), ...buttons);
  return li;
}

function button(text, className, fn) {
  const b = make('button', className, text);
  b.type = 'button';
  b.addEventListener('click', fn);
  return b;
}

function empty(text) {
  return make('li', 'none', text);
}

const isRunning = (r) => r.state === 'running' || r.state === 'starting' || r.state === 'recording';
const runText = (r) => (r.formula || '') + (r.step ? ', step ' + r.step : '') + (r.started_at ? ', ' + duration(Date.now() - time(r.started_at)) : '');

function showLists() {
  const all = [...rows.values()];
  const running = all.filter(isRunning);
  const waiting = all.filter((r) => r.state === 'waiting' || r.state === 'queued');
  $('running-count').textContent = running.length || '';
  $('waiting-count').textContent = waiting.length || '';
  $('running').replaceChildren(...(running.length ? running.map((r) => card(r, runText(r), [
    button('Log', '', () => openLog(r.id)), button('Cancel…', 'danger', () => cancel(r.id))])) : [empty('nothing runs')]));
  $('waiting').replaceChildren(...(waiting.length ? waiting.map((r) => card(r, (r.formula || '') + (r.reason ? ': ' + r.reason : ''), [
    button('Cancel…', 'danger', () => cancel(r.id))])) : [empty('nothing waits')]));
}

// ---- What waits for a human: the only links that lead away from here are those to a request

function link(url, text) {
  const a = make('a', '', text);
  a.href = url;
  a.rel = 'noreferrer noopener';
  return a;
}

function pendingCard(p) {
  const secrets = (p.secrets || []).length ? 'secrets ' + p.secrets.join(', ') : 'no secrets';
  const what = p.problem ? p.problem : [p.formula, secrets, 'by ' + (p.by || '–')].join('; ') + (p.context ? ': ' + p.context : '');
  const li = make('li');
  li.dataset.id = p.id;
  const tag = p.problem ? make('span', 'tag failed', 'can’t be approved') : make('span', 'tag tier-' + p.tier, p.tier + ' tier');
  const url = p.pull && /^https?:\/\//.test(p.pull.url) ? link(p.pull.url, 'Request ' + p.pull.number) : make('code', '', 'disinto approve ' + p.id);
  li.append(make('span', 'name', p.id), tag, make('span', 'what', what), url, button('Withdraw…', 'danger', () => withdraw(p.id)));
  return li;
}

function showPending() {
  const list = pending.map(pendingCard);
  if (pendingTotal > pending.length) list.push(empty('and ' + (pendingTotal - pending.length) + ' more'));
  $('pending-count').textContent = pendingTotal || '';
  $('pending').replaceChildren(...(list.length ? list : [empty('nothing waits for approval')]));
}

async function loadPending() {
  const answer = await call('GET', 'pending');
  pending = answer.pending;
  pendingTotal = answer.total;
  showPending();
}

function tick() {
  for (const li of $('running').children) {
    const r = rows.get(li.dataset.id);
    if (r) li.querySelector('.what').textContent = runText(r);
  }
  if (status) showFacts();
}

// ---- What was: only the rows in sight are in the page

const ROW = 40;
let past = [];

function selectPast() {
  const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  const outcome = $('outcome').value;
  past = [...rows.values()].filter((r) => r.state === 'finished' && (!outcome || r.outcome === outcome) &&
    words.every((w) => [r.id, r.formula, r.reason, r.approved_by].some((t) => t && t.toLowerCase().includes(w))));
  past.sort((a, b) => (a.finished_at < b.finished_at ? 1 : a.finished_at > b.finished_at ? -1 : 0));
  $('past-count').textContent = past.length || '';
  drawPast();
}

function pastRow(r, i) {
  const row = make('div', 'row item');
  row.setAttribute('role', 'row');
  row.style.top = i * ROW + 'px';
  const open = make('button', 'open name', r.id);
  open.type = 'button';
  open.addEventListener('click', () => openLog(r.id));
  const cells = [make('span', r.outcome, (r.outcome || '').replace('_', ' ')), make('span'), make('span', '', r.formula || '–'),
    make('span', '', clock(r.finished_at)), make('span', '', took(r)), make('span', '', r.approved_by || '–')];
  cells[1].append(open);
  for (const cell of cells) cell.setAttribute('role', 'cell');
  cells[1].title = r.reason || '';
  row.append(...cells);
  return row;
}

function drawPast() {
  const box = $('past');
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 5);
  const last = Math.min(past.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 5);
  $('past-space').style.height = past.length * ROW + 'px';
  $('past-space').replaceChildren(...past.slice(first, last).map((r, i) => pastRow(r, first + i)));
  if (!past.length) $('past-space').append(make('p', 'quiet', 'nothing to show'));
}

// ---- The last day, as a picture: a lane for each run at one time

const SVG = 'http://www.w3.org/2000/svg';

function svg(tag, attributes) {
  const e = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

function lanesOf(list) {
  const ends = [];
  return list.map((r) => {
    let lane = ends.findIndex((end) => end <= r.from);
    if (lane < 0) lane = ends.length;
    ends[lane] = Math.max(r.to, r.from + 60000);
    return Object.assign(r, { lane });
  });
}

function showDay() {
  const now = Date.now(), begin = now - 86400000;
  const list = [...rows.values()].filter((r) => r.started_at && (!r.finished_at || time(r.finished_at) > begin))
    .map((r) => ({ id: r.id, kind: r.outcome || 'running', from: Math.max(begin, time(r.started_at)), to: r.finished_at ? time(r.finished_at) : now }))
    .sort((a, b) => a.from - b.from).slice(-2000);
  const lanes = lanesOf(list), depth = Math.min(40, Math.max(1, ...lanes.map((r) => r.lane + 1)));
  const height = 24 + depth * 10;
  const x = (t) => ((t - begin) / 86400000) * 1000;
  const picture = svg('svg', { viewBox: '0 0 1000 ' + height, role: 'img', 'aria-label': list.length + ' runs in the last day' });
  for (let h = 0; h <= 24; h += 3) {
    const t = begin + h * 3600000;
    picture.append(svg('line', { x1: x(t), x2: x(t), y1: 0, y2: height - 16 }));
    const label = svg('text', h < 24 ? { x: x(t) + 2, y: height - 4 } : { x: 998, y: height - 4, 'text-anchor': 'end' });
    label.textContent = new Date(t).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
    picture.append(label);
  }
  for (const r of lanes) {
    if (r.lane >= depth) continue;
    const width = Math.max(6, x(r.to) - x(r.from)); // short ones are still seen, and those of just now are not cut off
    const mark = svg('rect', { x: Math.min(x(r.from), 1000 - width), y: 2 + r.lane * 10, width, height: 7, rx: r.kind === 'succeeded' ? 3 : 0, class: 'mark ' + r.kind });
    const title = svg('title', {});
    title.textContent = r.id + ': ' + r.kind.replace('_', ' ') + ', ' + duration(r.to - r.from);
    mark.append(title);
    mark.addEventListener('click', () => openLog(r.id));
    picture.append(mark);
  }
  $('day').replaceChildren(picture);
}

// ---- One action: its log, followed

let shown = null; // {id, text, controller, paused, held}

function logState(text) {
  $('log-state').textContent = text;
}

function append(text) {
  const box = $('log-text');
  const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
  box.append(visible(text));
  if (atEnd) box.scrollTop = box.scrollHeight;
}

async function follow(view) {
  const answer = await fetch('workers/' + encodeURIComponent(view.id) + '/logs?follow=1', { headers: headers(), signal: view.controller.signal });
  if (!answer.ok) return logState(answer.status === 404 ? 'this dispatcher has no log of it' : 'the log can’t be read: ' + answer.status);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    view.text += value;
    if (view.paused) view.held += value;
    else append(value);
  }
  logState('ended');
}

async function showLogFacts(view) {
  const list = $('log-facts');
  const row = await call('GET', 'actions/' + encodeURIComponent(view.id));
  if (shown !== view) return;
  const r = row.result || {};
  list.replaceChildren();
  pair(list, 'State', row.outcome ? row.outcome.replace('_', ' ') : row.state);
  if (row.reason) pair(list, 'Reason', row.reason);
  if (row.exit_code !== null && row.exit_code !== undefined) pair(list, 'Exit code', String(row.exit_code));
  if (r.approval) pair(list, 'Approved by', (r.approval.by || '–') + ' (' + r.approval.mode + ')');
  if (row.tier) pair(list, 'Tier', row.tier);
  if (row.commit) pair(list, 'Landed as', row.commit.slice(0, 10));
  if (r.image) pair(list, 'Image', r.image);
}

function openLog(id) {
  closeLog();
  const view = { id, text: '', held: '', paused: false, controller: new AbortController() };
  shown = view;
  $('log-title').textContent = id;
  $('log-text').replaceChildren();
  $('log-facts').replaceChildren();
  $('log-search').value = '';
  $('log-hits').textContent = '';
  $('log-pause').textContent = 'Pause';
  $('log-pause').setAttribute('aria-pressed', 'false');
  $('log-cancel').hidden = !isRunning(rows.get(id) || {});
  logState('following');
  $('log').showModal();
  follow(view).catch((e) => { if (shown === view && e.name !== 'AbortError') logState('the connection broke; close and open it again'); });
  showLogFacts(view).catch(() => {});
}

function closeLog() {
  if (shown) shown.controller.abort();
  shown = null;
  if ($('log').open) $('log').close();
}

function pauseLog() {
  if (!shown) return;
  shown.paused = !shown.paused;
  $('log-pause').textContent = shown.paused ? 'Go on' : 'Pause';
  $('log-pause').setAttribute('aria-pressed', String(shown.paused));
  if (!shown.paused) {
    append(shown.held);
    shown.held = '';
  }
}

// Marks what is looked for; a log is searched as it stands.
let hits = [], hit = -1;

function findInLog() {
  const word = $('log-search').value, box = $('log-text');
  if (!shown) return;
  hits = [];
  hit = -1;
  const text = visible(shown.text.slice(0, shown.text.length - shown.held.length));
  if (word.length < 2) {
    box.replaceChildren(text);
    $('log-hits').textContent = '';
    return;
  }
  const parts = [], low = text.toLowerCase(), wanted = word.toLowerCase();
  let at = 0;
  for (let i = low.indexOf(wanted); i >= 0 && hits.length < 1000; i = low.indexOf(wanted, at)) {
    const mark = make('mark', '', text.slice(i, i + wanted.length));
    parts.push(text.slice(at, i), mark);
    hits.push(mark);
    at = i + wanted.length;
  }
  box.replaceChildren(...parts, text.slice(at));
  $('log-hits').textContent = hits.length ? hits.length + (hits.length === 1000 ? ' or more' : '') + ' found' : 'not found';
  nextHit();
}

function nextHit() {
  if (!hits.length) return;
  hit = (hit + 1) % hits.length;
  hits[hit].scrollIntoView({ block: 'center' });
}

function downloadLog() {
  if (!shown) return;
  const link = make('a');
  link.href = URL.createObjectURL(new Blob([shown.text], { type: 'application/octet-stream' }));
  link.download = shown.id + '.log';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function confirm(text, no, yes, id, done) {
  const box = $('confirm');
  $('confirm-text').textContent = text;
  $('confirm-no').textContent = no;
  $('confirm-yes').textContent = yes;
  box.returnValue = 'no';
  box.onclose = () => {
    if (box.returnValue !== 'yes') return;
    call('DELETE', 'workers/' + encodeURIComponent(id)).then(
      () => { $('live').textContent = id + ' is ' + done; },
      (e) => { $('live').textContent = id + ' is not ' + done + ': ' + e.message; });
  };
  box.showModal();
}

const cancel = (id) => confirm('Cancel ' + id + '? What it did already is not undone.', 'Keep it running', 'Cancel it', id, 'cancelled');
const withdraw = (id) => confirm('Withdraw ' + id + '? Its request is closed and its branch removed.', 'Keep it', 'Withdraw it', id, 'withdrawn');

// ---- Events

let drawn = false;

function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    showStatus();
    showLists();
    selectPast();
    showDay();
  });
}

function hear(type, data) {
  if (type === 'snapshot') {
    rows.clear();
    for (const r of data.actions) rows.set(r.id, r);
    status = data.status;
    loadPending().catch(() => {});
  } else if (type === 'pending') {
    loadPending().catch(() => {});
    return;
  } else if (type === 'status') {
    status = data;
    showStatus();
    return;
  } else if (type === 'run') {
    if (data.forgotten) rows.delete(data.id);
    else rows.set(data.id, data);
    if (shown && shown.id === data.id) {
      $('log-cancel').hidden = !isRunning(data);
      if (data.state === 'finished') showLogFacts(shown).catch(() => {});
    }
  }
  draw();
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

async function listen() {
  stream = new AbortController();
  const answer = await fetch('events', { headers: headers(lastEvent ? { 'Last-Event-ID': lastEvent } : {}), signal: stream.signal, cache: 'no-store' });
  if (!answer.ok) throw Object.assign(new Error('answered ' + answer.status), { status: answer.status });
  signedIn();
  $('live').textContent = 'live';
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    blocks.forEach(hearBlock);
  }
}

async function listenForEver() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 15000)) {
    const began = Date.now();
    try {
      await listen();
    } catch (e) {
      if (e.name === 'AbortError') return;
      if (e.status === 401 || e.status === 403) return signedOut(token ? 'This token does not open it: ' + e.message + '.' : '');
    }
    if (Date.now() - began > 30000) wait = 500;
    $('live').textContent = 'reconnecting…';
    await new Promise((done) => setTimeout(done, wait));
    showOpenStatus();
  }
}

// Without a token the head of the page still tells how the dispatcher is.
async function showOpenStatus() {
  try {
    status = await call('GET', 'status');
    showStatus();
  } catch (e) {
    $('health').className = 'health unwell';
    $('health').textContent = 'the dispatcher does not answer';
  }
}

function signedIn() {
  $('sign-in').hidden = true;
  $('content').hidden = false;
  $('sign-out').hidden = false;
}

function signedOut(why) {
  token = '';
  sessionStorage.removeItem('token');
  rows.clear();
  lastEvent = '';
  $('content').hidden = true;
  $('sign-out').hidden = true;
  $('sign-in').hidden = false;
  $('sign-in-error').textContent = why;
  $('live').textContent = '';
  $('token').focus();
}

// ---- Begin

$('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value.trim();
  sessionStorage.setItem('token', token);
  $('token').value = '';
  listenForEver();
});
$('sign-out').addEventListener('click', () => {
  if (stream) stream.abort();
  closeLog();
  signedOut('');
});
$('search').addEventListener('input', () => { $('past').scrollTop = 0; selectPast(); });
$('outcome').addEventListener('change', () => { $('past').scrollTop = 0; selectPast(); });
$('past').addEventListener('scroll', drawPast, { passive: true });
$('log-close').addEventListener('click', closeLog);
$('log').addEventListener('close', () => { if (shown) { shown.controller.abort(); shown = null; } });
$('log-pause').addEventListener('click', pauseLog);
$('log-search').addEventListener('input', findInLog);
$('log-next').addEventListener('click', nextHit);
$('log-download').addEventListener('click', downloadLog);
$('log-cancel').addEventListener('click', () => { if (shown) cancel(shown.id); });
document.addEventListener('keydown', (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key === '/' && !typing && !$('content').hidden && !$('log').open) {
    event.preventDefault();
    $('search').focus();
  }
});
setInterval(tick, 1000);
setInterval(() => { if (!$('content').hidden) showDay(); else showOpenStatus(); }, 30000);
showOpenStatus();
listenForEver();
