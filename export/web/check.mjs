// Drives the page in a headless Chromium, as a person would, and prints as JSON what it saw, for
// tests/export/test_web.py:
//
//   node check.mjs URL CHROMIUM SERVER_PID     ends the server on the way: the page must work without it
//   node check.mjs URL CHROMIUM --classes      of a generator whose classes are a, b and c, or longer in long.tflite
//   node check.mjs URL CHROMIUM --picture=docs/web.png [TEXT]

import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [url, executablePath, last, text] = process.argv.slice(2);
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const browser = await chromium.launch({
  executablePath,
  headless: true, // with an empty profile of its own
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--no-first-run',
  ],
});
const console_ = []; // [type, text, address] of all pages

async function open(options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  page.on('console', (line) => console_.push([line.type(), line.text(), line.location().url]));
  page.on('pageerror', (error) => console_.push(['error', String(error), page.url()]));
  return page;
}

async function visit(page, query) {
  await page.goto(url + query);
  await page.waitForSelector('main:not([data-state=loading])');
  return settled(page);
}

async function settled(page) {
  await page.waitForSelector('main[aria-busy=false]');
  return {
    state: await page.locator('main').getAttribute('data-state'),
    status: await page.locator('#status').textContent(),
    problem: await page.locator('#problem').textContent(),
  };
}

const rgba = (canvases) =>
  canvases.map((canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]);
const grid = (page) => page.$$eval('#grid canvas', rgba);
const morph = async (page) => (await page.$$eval('#morph', rgba))[0];
const facts = async (page) => Object.fromEntries(await page.$$eval('dd', (all) => all.map((dd) => [dd.id, dd.textContent])));

async function accessibility(page) {
  await page.addScriptTag({ path: AXE });
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

async function problem(query, before = () => {}) {
  const page = await open();
  await before(page);
  const seen = { ...(await visit(page, query)), accessibility: await accessibility(page) };
  await page.context().close();
  return seen;
}

async function check(server) {
  const seen = { draws: {}, morphs: {}, problems: {}, accessibility: {}, overflow: {} };

  const page = await open({ viewport: { width: 1280, height: 860 }, colorScheme: 'dark' });
  seen.first = await visit(page, '?seed=7');
  seen.draws['int8 7'] = await grid(page);
  seen.facts = await facts(page);
  seen.accessibility.dark = await accessibility(page);

  await page.locator('#seed').fill('8');
  await page.keyboard.press('Enter');
  seen.redrawn = await settled(page);
  seen.draws['int8 8'] = await grid(page);
  seen.address = page.url();
  await page.locator('#surprise').click();
  await settled(page);
  seen.surprise = Number(await page.locator('#seed').inputValue());
  seen.draws.surprise = await grid(page);
  await page.locator('#seed').fill('-1');
  await page.keyboard.press('Enter');
  seen.refused = await page.locator('#seed').evaluate((input) => !input.validity.valid);

  // With the keyboard alone: picture 4 becomes A, picture 9 B; the slider moves to both ends and to the middle.
  await visit(page, '?seed=7');
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
    seen.morphs[way] = await morph(page);
  }
  seen.pressed = await page.$$eval('#grid [aria-pressed=true]', (all) => all.map((cell) => cell.ariaLabel));

  const phone = await open({ viewport: { width: 320, height: 640 }, colorScheme: 'light' });
  await visit(phone, '?seed=7&file=generator.tflite');
  seen.draws['float32 7'] = await grid(phone);
  seen.overflow.phone = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  seen.overflow.desktop = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  seen.accessibility.light = await accessibility(phone);
  await phone.locator('#file').selectOption('int8');
  await phone.waitForURL(/generator-int8/);
  await phone.waitForSelector('main[data-state=ready]');
  seen.chosen = await facts(phone);
  await phone.context().close();

  seen.problems.missing = await problem('?file=generator-float16.tflite');
  seen.problems.odd = await problem('?file=../secret');
  seen.problems.cut = await problem('?file=cut.tflite');
  seen.problems.foreign = await problem('?file=foreign.tflite');
  seen.problems.text = await problem('?file=text.tflite');
  seen.problems.webassembly = await problem('', (p) => p.addInitScript(() => delete globalThis.WebAssembly));
  seen.problems.runtime = await problem('', (p) => p.route('**/litert/wasm/*.js', (route) => route.abort()));

  await page.locator('#offline', { hasText: 'works' }).waitFor();
  process.kill(server);
  for (let there = true; there; ) there = await fetch(url).then(() => true, () => false);
  seen.offline = await visit(page, '?seed=7');
  seen.draws['offline 7'] = await grid(page);
  await page.goto(url + '?file=generator-float16.tflite');
  await page.waitForSelector('main[data-state=failed]');
  seen.problems.offline = await settled(page);
  return { ...seen, console: console_ };
}

const written = async (page) => (await page.$$eval('#written', rgba))[0];

async function checkClasses() {
  const seen = { draws: {}, morphs: {}, accessibility: {} };
  const page = await open({ viewport: { width: 320, height: 640 }, colorScheme: 'light' });
  seen.first = await visit(page, '?seed=7');
  seen.draws.any = await grid(page);
  seen.names = await page.$$eval('#grid button', (all) => all.map((cell) => cell.ariaLabel));
  seen.unwritten = await page.locator('#written').isVisible();
  for (const way of [0, 100]) {
    await page.locator('#way').fill(String(way));
    await page.locator(`#morph[aria-label^="Seed 7, ${way} %"]`).waitFor();
    seen.morphs[way] = await morph(page);
  }

  await page.locator('#label').selectOption('b');
  seen.chosen = await settled(page);
  seen.draws.b = await grid(page);
  seen.address = page.url();

  // With the keyboard alone, from the chooser: the text, then the button.
  await page.locator('#label').focus();
  await page.keyboard.press('Tab');
  await page.keyboard.type('cab');
  await page.locator('#written[aria-label="“cab” in hand 1 of seed 7"]').waitFor();
  seen.draws['hand 0'] = await written(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('#written[aria-label="“cab” in hand 2 of seed 7"]').waitFor();
  seen.draws['hand 1'] = await written(page);
  seen.written = page.url();
  seen.accessibility.light = await accessibility(page);
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await page.locator('#text').fill('cad');
  seen.refused = await page.locator('#text').evaluate((input) => input.validationMessage);

  const again = await open({ viewport: { width: 1280, height: 860 }, colorScheme: 'dark' });
  await visit(again, '?text=cab&seed=7&hand=1&label=c');
  seen.draws['by address'] = await written(again);
  seen.draws.c = await grid(again);
  seen.accessibility.dark = await accessibility(again);
  await again.locator('#text').fill('');
  await again.waitForURL((address) => !address.searchParams.has('text'));
  seen.cleared = await again.locator('#written').isHidden();

  const long = await open({ viewport: { width: 320, height: 640 } });
  await visit(long, '?file=long.tflite&label=1');
  seen.long = {
    label: await long.locator('#label').inputValue(),
    writes: await long.locator('#writing').isVisible(),
    overflow: await long.evaluate(() => document.documentElement.scrollWidth - innerWidth),
  };
  return { ...seen, console: console_ };
}

const HEIGHT = 530; // pixels of each view; the picture must stay under 200 KB

/** The page on a desktop and on a phone, side by side. */
async function picture(path) {
  const views = [];
  for (const [width, height, colorScheme] of [[1200, 1040, 'dark'], [460, 1040, 'light']]) {
    const page = await open({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1 });
    await visit(page, text ? `?seed=7&text=${text}` : '?seed=7');
    for (const index of [5, 28]) await page.locator('#grid button').nth(index).click();
    for (let i = 0; i < 5; i++) { // the first calls are slow, while the browser compiles
      await page.locator('#draw').click();
      await settled(page);
    }
    await page.locator('#offline', { hasText: 'works' }).waitFor();
    await page.evaluate(() => scrollTo(0, 0)); // a click scrolls to its picture
    views.push(`data:image/png;base64,${(await page.screenshot()).toString('base64')}`);
    console.log((await settled(page)).status);
  }
  const page = await open({ viewport: { width: 940, height: 570 } });
  await page.setContent(
    `<body style="margin:0;height:100%;display:flex;gap:24px;align-items:center;justify-content:center;background:#8a93a5">
     ${views.map((view) => `<img src="${view}" style="height:${HEIGHT}px;border-radius:12px">`).join('')}</body>`,
  );
  await page.screenshot({ path });
}

try {
  if (last.startsWith('--picture=')) await picture(last.slice('--picture='.length));
  else if (last === '--classes') console.log(JSON.stringify(await checkClasses()));
  else console.log(JSON.stringify(await check(Number(last))));
} finally {
  await browser.close();
}
