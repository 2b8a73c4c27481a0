// Drives the page as a person would, and prints as JSON what it saw, for tests/export/test_web.py:
//
//   node check.mjs URL CHROMIUM EXPORTED     the exported folder, in which it replaces a file

import { copyFileSync } from 'node:fs';
import {
  accessibility, console_, DESKTOP, grid, open, options, overflow, picture, report, settled, silenceable, SMALL, url, visit,
} from './drive.mjs';

const [EXPORTED] = options;
const facts = async (page) => Object.fromEntries(await page.$$eval('dd', (all) => all.map((dd) => [dd.id, dd.textContent])));

async function problem(query, before = () => {}) {
  const page = await open();
  await before(page);
  const seen = { ...(await visit(page, query)), accessibility: await accessibility(page) };
  seen.links = await page.$$eval('#problem a', (all) => all.map((link) => link.href));
  await page.context().close();
  return seen;
}

/** A visit, the page as an earlier visit stored it after the server's file has changed, and after the button. */
async function renewal() {
  const weights = [];
  const page = await open(DESKTOP);
  copyFileSync(`${EXPORTED}/generator.tflite`, `${EXPORTED}/changing.tflite`);
  await visit(page, '?file=changing.tflite');
  await page.locator('#offline', { hasText: 'works' }).waitFor();
  weights.push((await facts(page)).weights);
  await visit(page, '?file=changing.tflite');
  await page.waitForLoadState('networkidle');
  weights.push(await page.locator('#renewed').isVisible());
  copyFileSync(`${EXPORTED}/generator-int8.tflite`, `${EXPORTED}/changing.tflite`);
  await visit(page, '?file=changing.tflite');
  weights.push((await facts(page)).weights);
  await page.locator('#reload').click();
  await page.locator('#weights', { hasText: 'int8' }).waitFor();
  await page.context().close();
  return weights;
}

/** What the page says if a file of the site never comes. */
async function patience() {
  const page = await open();
  await page.clock.install();
  await page.route('**/generator-int8.tflite', () => {});
  const asked = page.waitForRequest('**/generator-int8.tflite');
  await page.goto(url);
  await asked;
  await page.waitForFunction(() => 'Module' in self && !self.Module); // the runtime, which takes it away, is there
  await page.clock.runFor(21_000);
  await page.waitForSelector('main[data-state=failed]');
  return settled(page);
}

async function check() {
  const server = await silenceable();
  const seen = { draws: {}, morphs: {}, problems: {}, accessibility: {}, overflow: {}, offline: {} };

  const page = await open(DESKTOP);
  seen.first = await visit(page, '?seed=7', server.url);
  seen.draws['int8 7'] = await grid(page);
  await page.waitForFunction(() => document.getElementById('speed').textContent.endsWith('ms'));
  seen.facts = await facts(page);
  seen.accessibility.dark = await accessibility(page);

  await page.locator('#seed').fill('8');
  await page.keyboard.press('Enter');
  seen.redrawn = await settled(page);
  seen.draws['int8 8'] = await grid(page);
  await page.waitForURL(/seed=8/);
  seen.address = page.url();
  await page.locator('#surprise').click();
  await settled(page);
  seen.surprise = Number(await page.locator('#seed').inputValue());
  seen.draws.surprise = await grid(page);
  await page.locator('#seed').fill('-1');
  await page.keyboard.press('Enter');
  seen.refused = await page.locator('#seed').evaluate((input) => !input.validity.valid);

  // With the keyboard alone: picture 4 becomes A, picture 9 B; the slider moves to both ends and to the middle.
  await visit(page, '?seed=7', server.url);
  await page.locator('#surprise').focus();
  await page.keyboard.press('Tab');
  const columns = await page.locator('#grid').evaluate((all) => getComputedStyle(all).gridTemplateColumns.split(' ').length);
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  for (let i = 0; i < columns - 5; i++) await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  for (const [key, way] of [['Home', 0], ['End', 100], ['', 50]]) {
    if (key) await page.keyboard.press(key);
    else await page.locator('#way').fill('50');
    await page.locator(`#morph[aria-label="Seed 7, ${way} % of the way from picture 4 to picture 9"]`).waitFor();
    seen.morphs[way] = await picture(page, '#morph');
  }
  seen.pressed = await page.$$eval('#grid [aria-pressed=true]', (all) => all.map((cell) => cell.ariaLabel));

  const phone = await open(SMALL);
  await visit(phone, '?seed=7&file=generator.tflite');
  seen.draws['float32 7'] = await grid(phone);
  seen.overflow.phone = await overflow(phone);
  seen.overflow.desktop = await overflow(page);
  seen.accessibility.light = await accessibility(phone);
  await phone.locator('#file').selectOption('generator-int8.tflite');
  await phone.waitForURL(/generator-int8/);
  await phone.waitForSelector('main[data-state=ready]');
  seen.chosen = await facts(phone);
  await phone.context().close();

  seen.problems.seed = await problem('?seed=x&pair=4,4&way=50');
  seen.problems.missing = await problem('?file=generator-float16.tflite');
  seen.problems.odd = await problem('?file=../secret');
  seen.problems.cut = await problem('?file=cut.tflite');
  seen.problems.foreign = await problem('?file=foreign.tflite');
  seen.problems.text = await problem('?file=text.tflite');
  seen.problems.webassembly = await problem('', (p) => p.addInitScript(() => delete globalThis.WebAssembly));
  seen.problems.part = await problem('', (p) => p.route('**/morph.js', (route) => route.abort()));
  seen.problems.runtime = await problem('', (p) => p.route('**/litert/wasm/*.js', (route) => route.abort()));

  seen.renewal = await renewal();
  seen.problems.silent = await patience();
  await page.locator('#offline', { hasText: 'works' }).waitFor();
  for (const [name, end] of [['hanging', () => server.silence()], ['gone', () => server.close()]]) {
    end();
    const start = Date.now();
    seen.offline[name] = await visit(page, '?seed=7', server.url);
    seen.offline[name].seconds = (Date.now() - start) / 1000;
    seen.draws[name] = await grid(page);
  }
  await page.goto(`${server.url}?file=generator-float16.tflite`);
  await page.waitForSelector('main[data-state=failed]');
  seen.problems.offline = await settled(page);
  return { ...seen, console: console_ };
}

await report(check);
