// What a visitor does with the page on a phone and with its links and files; for tests/export/test_web_sharing.py:
//
//   node check_sharing.mjs URL CHROMIUM FOLDER     with a colour.tflite; saves the files to this folder

import { accessibility, console_, DESKTOP, grid, open, options, overflow, PHONE, picture, report, settled, url, visit } from './drive.mjs';

const [FOLDER] = options;
const boxes = (page, ...selectors) => Promise.all(selectors.map((selector) => page.locator(selector).boundingBox()));

/** Saves the file that a button offers, and returns its name. */
async function save(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator(button).click()]);
  await download.saveAs(`${FOLDER}/${download.suggestedFilename()}`);
  return download.suggestedFilename();
}

async function onAPhone(seen) {
  const page = await open({ ...PHONE, permissions: ['clipboard-read', 'clipboard-write'] });
  await visit(page, '?seed=7');
  const views = [];
  for (const index of [4, 28]) {
    await page.locator('#grid button').nth(index).tap();
    views.push(await boxes(page, '#grid', `#grid button:nth-of-type(${index + 1})`, '#morph', '#play'));
  }
  seen.views = views;
  await page.setViewportSize({ width: 390, height: 664 }); // with the browser's own bars
  await page.locator('#grid button').nth(8).tap();
  seen.low = await boxes(page, '#grid button:nth-of-type(9)', '#morph', '#play');
  await page.setViewportSize(PHONE.viewport);
  await page.locator('#grid button').nth(4).tap();
  await page.locator('#grid button').nth(28).tap();
  seen.overflow.phone = await overflow(page);
  seen.hints = { phone: await page.locator('.keys').isVisible() };

  // Plays past picture B: the walk goes on to the next picture.
  const pair = () => page.$$eval('#grid [data-end]', (all) => all.map((cell) => [cell.dataset.end, cell.ariaLabel]));
  const before = new Set((await pair()).map(String));
  const morphs = new Set();
  await page.locator('#play').tap();
  await page.waitForFunction((names) => [...document.querySelectorAll('#grid [data-end]')].some((cell) => !names.includes(`${cell.dataset.end},${cell.ariaLabel}`)), [...before]);
  seen.playing = await page.locator('#play').textContent();
  for (let i = 0; i < 5; i++) {
    morphs.add(String(await picture(page, '#morph')));
    await page.waitForTimeout(200);
  }
  await page.locator('#play').tap();
  seen.frames = morphs.size;
  seen.played = await pair();
  seen.stopped = await page.locator('#play').textContent();
  await page.waitForTimeout(500); // until the address has the last position
  const still = await picture(page, '#morph');
  await page.waitForTimeout(500);
  seen.still = String(still) === String(await picture(page, '#morph'));

  // The link opens the same in a profile of its own.
  await page.locator('#way').fill('30');
  await page.locator('#morph[aria-label*=" 30 % "]').waitFor();
  await page.locator('#share').tap();
  await page.locator('#status', { hasText: 'The link is copied.' }).waitFor();
  seen.link = await page.evaluate(() => navigator.clipboard.readText());
  const other = await open(DESKTOP);
  await visit(other, '', seen.link);
  seen.same = {
    grid: String(await grid(page)) === String(await grid(other)),
    morph: String(await picture(page, '#morph')) === String(await picture(other, '#morph')),
  };
  seen.hints.desktop = await other.locator('.keys').isVisible();
  seen.accessibility.phone = await accessibility(page);
  seen.accessibility.desktop = await accessibility(other);
  seen.overflow.desktop = await overflow(other);

  seen.saved = { picture: await save(page, '#savepicture'), animation: await save(page, '#saveanimation') };
  seen.morph = await picture(page, '#morph');
}

async function inDark(seen) {
  const page = await open({ ...PHONE, colorScheme: 'dark' });
  await page.addInitScript(() => {
    globalThis.shared = [];
    navigator.share = (data) => Promise.resolve(shared.push(data.url));
  });
  await visit(page, '?seed=3');
  seen.accessibility['phone in the dark'] = await accessibility(page);
  await page.locator('#share').tap();
  seen.shared = await page.evaluate(() => shared);

  const light = await open({ ...DESKTOP, colorScheme: 'light' });
  await visit(light, '?seed=3');
  seen.accessibility['desktop in the light'] = await accessibility(light);
}

async function inColour(seen) {
  const page = await open(PHONE);
  await visit(page, '?file=colour.tflite&seed=3&way=0');
  seen.colours = await grid(page);
  seen.saved.colour = await save(page, '#saveanimation');
}

async function whenSomethingFails(seen) {
  const page = await open(DESKTOP);
  await visit(page, '?seed=7');
  await page.evaluate(() => { // a fault in the middle of a drawing
    globalThis.kept = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = () => { throw new Error('no memory'); };
  });
  await page.locator('#surprise').click();
  await page.locator('#problem', { hasText: 'no memory' }).waitFor();
  seen.failed = await settled(page);
  await page.evaluate(() => (CanvasRenderingContext2D.prototype.putImageData = kept));
  await page.locator('#surprise').click();
  await page.locator('#problem').waitFor({ state: 'hidden' });
  seen.recovered = await settled(page);

  const plain = await open({ javaScriptEnabled: false });
  await plain.goto(url);
  seen.without = await plain.locator('main').innerText();
  await plain.context().close();
}

async function installed(seen) {
  const page = await open(DESKTOP);
  await visit(page, '');
  const devtools = await page.context().newCDPSession(page);
  const { url: address, errors } = await devtools.send('Page.getAppManifest');
  const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors');
  seen.installed = { address, errors: [...errors, ...installabilityErrors] };
}

await report(async () => {
  const seen = { accessibility: {}, overflow: {} };
  for (const part of [onAPhone, inDark, inColour, whenSomethingFails, installed]) await part(seen);
  return { ...seen, console: console_ };
});
