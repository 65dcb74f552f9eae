// A dispatcher that says whatever a test tells it: the page's own files, and answers out of `world`.
//   world: {status, actions, pending, details: {id: …}, logs: {id: text}, open: whether /events is answered}
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';

const types = { html: 'text/html', css: 'text/css', js: 'text/javascript' };

export async function tell(folder, world) {
  const streams = new Set(), asked = [];
  let seq = 0;
  const event = (type, data) => 'id: told.' + ++seq + '\nevent: ' + type + '\ndata: ' + JSON.stringify(data) + '\n\n';

  function json(answer, code, body) {
    answer.writeHead(code, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify(body));
  }

  function events(request, answer) {
    answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
    answer.write(event('snapshot', { status: world.status, actions: world.actions }));
    streams.add(answer);
    request.on('close', () => streams.delete(answer));
  }

  function about(path, answer) {
    const [, kind, id, log] = path.split('/').map(decodeURIComponent);
    if (log === 'logs' && world.logs[id] !== undefined) {
      answer.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' });
      answer.write(world.logs[id]);
      if (/\[EXIT:[^\]]*\] .*\n$/.test(world.logs[id])) answer.end();
    } else if (kind === 'actions' && world.actions.some((r) => r.id === id)) {
      json(answer, 200, { ...world.actions.find((r) => r.id === id), ...world.details[id] });
    } else {
      json(answer, 404, { error: 'not found' });
    }
  }

  const server = createServer((request, answer) => {
    const path = request.url.split('?')[0], file = path === '/' ? 'index.html' : path.slice(1);
    asked.push(request.method + ' ' + path);
    if (/^[a-z]+\.(html|css|js)$/.test(file)) {
      answer.writeHead(200, { 'Content-Type': types[file.split('.')[1]] + '; charset=utf-8' });
      answer.end(readFileSync(folder + '/' + file));
    } else if (path === '/status') json(answer, 200, world.status);
    else if (!request.headers.authorization) json(answer, 401, { error: 'unauthorized' });
    else if (request.method === 'DELETE') json(answer, 202, { status: 'cancelling', task_id: path.split('/').pop() });
    else if (path === '/events') events(request, answer);
    else if (path === '/pending') json(answer, 200, { pending: world.pending, total: world.pending.length });
    else about(path, answer);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: 'http://127.0.0.1:' + server.address().port + '/',
    asked,
    say: (type, data) => { const text = event(type, data); for (const s of streams) s.write(text); }, // to all who listen
    close: () => { server.closeAllConnections(); server.close(); },
  };
}
