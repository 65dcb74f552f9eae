// The last day as a picture: runs at the same time in lanes of their own; a line for how long each took, and a sign and a colour for how it ended.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';
const KINDS = ['succeeded', 'failed', 'timed_out', 'cancelled', 'refused', 'lost', 'running'];
const DAY = 86400000, LANE = 16, LANES_MOST = 24, MARKS_MOST = 2000;

function svg(tag, attributes) {
  const e = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

function sign(kind) {
  const picture = svg('svg', { class: 'sign ' + kind, 'aria-hidden': 'true' });
  picture.append(svg('use', { href: '#sign-' + kind }));
  return picture;
}

// Runs so close to each other that their signs would cover each other take further lanes too; where there are too many, those that ended first are covered.
function laneOf(ends, from, to) {
  let lane = ends.findIndex((end) => end <= from);
  if (lane < 0) lane = ends.length < LANES_MOST ? ends.length : ends.indexOf(Math.min(...ends));
  ends[lane] = to;
  return lane;
}

function runsOfDay(at, begin) {
  return [...rows.values()].filter((r) => r.started_at && (!r.finished_at || time(r.finished_at) > begin))
    .map((r) => ({ id: r.id, kind: r.outcome || 'running', from: Math.max(begin, time(r.started_at)), to: r.finished_at ? time(r.finished_at) : at, took: took(r) }))
    .sort((a, b) => a.from - b.from).slice(-MARKS_MOST);
}

// Whole hours of the reader's clock, every so many.
function hoursOf(begin, at, every) {
  const list = [];
  const t = new Date(begin);
  t.setMinutes(0, 0, 0);
  for (t.setHours(t.getHours() + 1); t <= at; t.setHours(t.getHours() + 1)) if (t.getHours() % every === 0) list.push(t.getTime());
  return list;
}

let marks = [], chosen = ''; // of the picture; the id of the one that the keyboard is at

// Of the run that is pointed at; else of all.
function tellMark(r) {
  const counts = KINDS.map((kind) => [marks.filter((m) => m.kind === kind).length, word(kind)]).filter(([n]) => n);
  if (r) say($('day-note'), r.id + ': ' + word(r.kind) + (r.kind === 'running' ? ' for ' + r.took : ', took ' + r.took + ', ended ' + clock(r.to)));
  else say($('day-note'), counts.length ? counts.map((c) => c.join(' ')).join(', ') : 'Nothing ran.');
}

function markOf(r, x, y, end) {
  const mark = svg('g', { class: 'mark ' + r.kind, role: 'button', tabindex: -1, 'aria-label': visible(r.id) + ', ' + word(r.kind) + ', ' + r.took });
  if (end - x > 1) mark.append(svg('rect', { x, y: y - 2, width: end - x, height: 4, rx: 2, class: 'line' }));
  mark.append(svg('rect', { x: Math.min(x, end - 8), y: y - LANE / 2, width: Math.max(16, end - x + 8), height: LANE, class: 'reach' }),
    svg('circle', { cx: end, cy: y, r: 6.5, class: 'ground' }), svg('use', { href: '#sign-' + r.kind, x: end - 6, y: y - 6, width: 12, height: 12 }));
  mark.addEventListener('click', () => openLog(r.id));
  mark.addEventListener('pointerenter', () => tellMark(r));
  mark.addEventListener('pointerleave', () => tellMark());
  mark.addEventListener('blur', () => tellMark());
  mark.addEventListener('focus', () => { chosen = r.id; tellMark(r); });
  return mark;
}

function showDay() {
  const box = $('day'), width = Math.max(280, box.clientWidth);
  const at = now(), begin = at - DAY, held = box.contains(document.activeElement);
  const x = (t) => 8 + ((t - begin) / DAY) * (width - 16);
  const sized = (r) => ({ ...r, x: x(r.from), end: Math.min(width - 8, Math.max(x(r.to), 8)) });
  const list = runsOfDay(at, begin).map(sized), ends = [];
  for (const r of list) r.lane = laneOf(ends, Math.min(r.x, r.end - 7), r.end + 7);
  const depth = Math.max(2, ends.length) * LANE, height = depth + 26;
  const picture = svg('svg', { width, height, role: 'group', 'aria-label': list.length + ' runs in the last day; arrow keys lead from one to the next' });
  for (const t of hoursOf(begin, at, width < 600 ? 6 : 3)) {
    const label = svg('text', { x: x(t), y: height - 5, 'text-anchor': x(t) < 24 ? 'start' : x(t) > width - 24 ? 'end' : 'middle' });
    label.textContent = new Date(t).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
    picture.append(svg('line', { x1: x(t), x2: x(t), y1: 0, y2: depth + 8 }), label);
  }
  for (const r of list) r.mark = markOf(r, r.x, 4 + r.lane * LANE + LANE / 2, r.end);
  // What went wrong is never covered by what went well.
  for (const well of [true, false]) picture.append(...list.filter((r) => (r.kind === 'succeeded') === well).map((r) => r.mark));
  marks = list;
  box.replaceChildren(picture);
  tellMark();
  choose(held);
}

// One of the marks is what the tab key leads to.
function choose(focus) {
  const r = marks.find((m) => m.id === chosen) || marks[marks.length - 1];
  if (!r) return;
  r.mark.setAttribute('tabindex', 0);
  if (focus) r.mark.focus({ preventScroll: true });
}

function stepDay(event) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  const i = marks.findIndex((r) => r.mark === document.activeElement), step = steps[event.key];
  if (i < 0) return;
  if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    openLog(marks[i].id);
  } else if (step) {
    event.preventDefault();
    marks[i].mark.setAttribute('tabindex', -1);
    chosen = marks[Math.max(0, Math.min(marks.length - 1, i + step))].id;
    choose(true);
  }
}

function showLegend() {
  $('legend').replaceChildren(...KINDS.map((kind) => {
    const li = make('li', kind);
    li.append(sign(kind), word(kind));
    return li;
  }));
}
