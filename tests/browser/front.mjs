// The dashboard where the site's front door has it, below a path. Called by tests/e2e/edge.sh, which has run the action `first` with a secret named KEY:
//   node front.mjs MODULES URL TOKEN
import { browse, check, signIn, until } from './lib.mjs';

const [modules, url, token] = process.argv.slice(2);
const { open, end } = await browse(modules);
const page = await open(url);
const asked = [];
page.on('request', (r) => asked.push(r.url()));
await page.reload();
await signIn(page, token);
await until('a token opens it', async () => page.locator('#content').isVisible());
await until('it is live', async () => (await page.locator('#live').textContent()) === 'live');
await page.locator('.row.item .open', { hasText: 'first' }).click();
await until('a log is shown, redacted', async () => /key \[redacted:KEY\]/.test(await page.locator('#log-text').textContent()));
check('nothing is asked for outside of its path', asked.length > 4 && asked.every((u) => u.startsWith(url)), asked.join('\n'));
await end();
