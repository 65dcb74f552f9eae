// One action: its log, followed over whatever happens to the connection, and what is known of it.
'use strict';

const BLOCK = 16384, BLOCK_MOST = 65536; // characters of the log in one element, so that the browser lays out only what is in sight

let shown = null; // {id, text, fresh: not on the screen yet, paused, whole, controller}
let hits = [], hit = -1;

function logState(text) {
  $('log-state').textContent = text;
}

// Of a block's text so much, at the end of a line where there is one, that it is not too long.
function cutAt(text, room) {
  if (text.length <= room) return text.length;
  const line = text.lastIndexOf('\n', room) + 1;
  return line || Math.min(text.length, (text.indexOf('\n', room) + 1) || BLOCK_MOST, BLOCK_MOST);
}

function append(text) {
  const box = $('log-text'), atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
  for (let rest = visible(text); rest;) {
    let block = box.lastElementChild;
    const length = block ? Number(block.dataset.length) : BLOCK_MOST;
    if (length >= BLOCK_MOST || (length >= BLOCK && block.dataset.ends)) {
      box.append(block = make('div'));
      block.dataset.length = 0;
    }
    const n = cutAt(rest, Math.max(1, BLOCK - Number(block.dataset.length))), part = rest.slice(0, n);
    block.append(part);
    block.dataset.length = Number(block.dataset.length) + n;
    block.dataset.ends = part.endsWith('\n') ? '1' : '';
    rest = rest.slice(n);
  }
  if (atEnd) box.scrollTop = box.scrollHeight;
}

// What came since the last picture of the screen.
function flush(view) {
  if (shown !== view || !view.fresh || view.paused) return;
  append(view.fresh);
  view.fresh = '';
}

function take(view, text) {
  view.text += text;
  if (!view.fresh) requestAnimationFrame(() => flush(view));
  view.fresh += text;
}

// True: it came to its end, which the last line tells.
async function followOnce(view) {
  const answer = await fetch('workers/' + encodeURIComponent(view.id) + '/logs?follow=1', { headers: headers(), signal: view.controller.signal, cache: 'no-store' });
  if (!answer.ok) throw Object.assign(new Error(answer.status === 404 ? 'this dispatcher has no log of it' : 'the log can’t be read: ' + answer.status), { status: answer.status });
  logState('following');
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let known = view.text.length; ;) { // of the same bytes, from the first on
    const { done, value } = await reader.read();
    if (done) return /(^|\n)\[EXIT:[^\]\n]+\] [^\n]*\n$/.test(view.text.slice(-200)) || (rows.get(view.id) || {}).state === 'finished';
    if (value.length > known) take(view, value.slice(known));
    known = Math.max(0, known - value.length);
  }
}

async function follow(view) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      if (await followOnce(view)) break;
    } catch (e) {
      if (shown !== view) return;
      if (e.status && (e.status < 500 && !(e.status === 404 && view.text))) return logState(e.message);
    }
    logState('the connection broke; waiting for it to come back');
    await new Promise((done) => setTimeout(done, wait));
    if (shown !== view) return;
  }
  view.whole = true;
  $('log-pause').disabled = !view.paused;
  logState('ended');
}

function commitOf(oid) {
  const short = make('code', '', oid.slice(0, 10));
  if (!status || !/^https?:\/\//.test(status.commit_url || '')) return short;
  const a = link(status.commit_url + encodeURIComponent(oid), '');
  a.append(short);
  return a;
}

async function showLogFacts(view) {
  const row = await call('GET', 'actions/' + encodeURIComponent(view.id)), r = row.result || {};
  if (shown !== view) return;
  const list = $('log-facts');
  const state = make('dd', row.outcome || row.state);
  state.append(...(row.outcome ? [sign(row.outcome)] : []), word(row.outcome || row.state));
  list.replaceChildren();
  pair(list, 'State', state);
  if (row.exit_code !== null && row.exit_code !== undefined) pair(list, 'Exit code', row.exit_code);
  if (row.formula) pair(list, 'Formula', row.formula);
  if (row.started_at) pair(list, 'Started', clock(time(row.started_at)));
  if (row.finished_at) pair(list, 'Took', took(row));
  if (row.approved_by || r.approval) pair(list, 'Approved by', row.approved_by ? row.approved_by + (r.approval ? ' (' + r.approval.mode + ')' : '') : r.approval.mode);
  if (row.tier) pair(list, 'Tier', row.tier);
  if (row.commit) pair(list, 'Landed as', commitOf(row.commit));
  if (r.image) pair(list, 'Image', r.image);
  if ((row.steps || []).length) pair(list, 'Steps', row.steps.map((s) => s.id + ' ' + (s.exit_code === 0 ? '✓' : 'exit ' + (s.exit_code ?? '–')) + ' ' + duration(s.duration_ms)).join(', '));
  if (row.reason) pair(list, 'Reason', row.reason).className = 'wide';
}

function openLog(id) {
  closeLog();
  const view = { id, text: '', fresh: '', paused: false, whole: false, controller: new AbortController() };
  shown = view;
  $('log-title').textContent = visible(id);
  $('log-text').replaceChildren();
  $('log-facts').replaceChildren();
  $('log-search').value = '';
  $('log-pause').disabled = false;
  showPaused();
  findInLog();
  $('log-cancel').hidden = !canCancel(rows.get(id) || {});
  logState('opening');
  $('log').showModal();
  follow(view);
  showLogFacts(view).catch(() => {});
}

function closeLog() {
  if (shown) shown.controller.abort();
  shown = null;
  if ($('log').open) $('log').close();
}

function showPaused() {
  $('log-pause').textContent = shown.paused ? 'Go on' : 'Pause';
  $('log-pause').setAttribute('aria-pressed', String(shown.paused));
}

function pauseLog() {
  if (!shown) return;
  shown.paused = !shown.paused;
  if (shown.whole) $('log-pause').disabled = true;
  showPaused();
  flush(shown);
}

// ---- Finding: what is on the screen is searched, block by block

const HITS_MOST = 1000;

function markBlock(block, wanted) {
  const text = block.textContent, parts = [];
  let at = 0;
  for (const found of wanted ? text.matchAll(wanted) : []) {
    if (hits.length === HITS_MOST) break;
    const mark = make('mark', '', found[0]);
    parts.push(text.slice(at, found.index), mark);
    hits.push(mark);
    at = found.index + found[0].length;
  }
  if (parts.length || block.firstElementChild) block.replaceChildren(...parts, text.slice(at));
}

function findInLog() {
  const words = $('log-search').value, wanted = words.length < 2 ? null : new RegExp(words.replace(/[^\w\s]/g, '\\$&'), 'gi');
  hits = [];
  hit = -1;
  for (const block of $('log-text').children) markBlock(block, wanted);
  $('log-hits').textContent = wanted ? 'not found' : '';
  for (const id of ['log-back', 'log-next']) $(id).disabled = !hits.length;
  nextHit(1);
}

function nextHit(step) {
  if (!hits.length) return;
  if (hits[hit]) hits[hit].className = '';
  hit = (hit + step + hits.length) % hits.length;
  hits[hit].className = 'now';
  hits[hit].scrollIntoView({ block: 'center' });
  $('log-hits').textContent = hit + 1 + ' of ' + hits.length + (hits.length === HITS_MOST ? ' or more' : '');
}

function downloadLog() {
  if (!shown) return;
  const a = make('a');
  a.href = URL.createObjectURL(new Blob([shown.text], { type: 'application/octet-stream' }));
  a.download = shown.id + '.log';
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
