// Measures how long the first picture takes in a new profile, on this machine and on a slow line, and how long the whole
// page takes if an earlier visit stored it and the server is silent; then the time per picture of each file. Prints JSON:
//
//   node measure.mjs URL CHROMIUM

import { open, PHONE, report, settled, silenceable, url, visit } from './drive.mjs';

const LINE = { latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 0.75e6 / 8 }; // 1.6 Mbit/s

/** Seconds until the first picture, megabytes received, and the steps of the progress bar. */
async function firstPicture(line) {
  const page = await open({ ...PHONE, serviceWorkers: 'block' });
  page.setDefaultTimeout(180_000);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Network.enable');
  if (line) await devtools.send('Network.emulateNetworkConditions', { offline: false, ...line });
  let bytes = 0;
  devtools.on('Network.dataReceived', ({ encodedDataLength }) => (bytes += encodedDataLength));
  const steps = [];
  await page.exposeFunction('step', (text) => steps.push(text));
  await page.addInitScript(() => {
    const look = () => step(document.getElementById('loaded')?.textContent ?? '');
    addEventListener('DOMContentLoaded', () => new MutationObserver(look).observe(document, { childList: true, subtree: true }));
  });
  const start = Date.now();
  await page.goto(url, { waitUntil: 'commit' });
  await page.waitForFunction(() => ![undefined, 300].includes(document.querySelector('#grid canvas')?.width)); // 300: empty
  const seconds = (Date.now() - start) / 1000;
  await settled(page);
  await page.context().close();
  return { seconds, megabytes: bytes / 1e6, steps: [...new Set(steps)].filter((text) => text.includes(' of ')) };
}

async function silentServer() {
  const server = await silenceable();
  const page = await open(PHONE);
  page.setDefaultTimeout(180_000);
  await page.goto(server.url);
  await page.locator('#offline', { hasText: 'works' }).waitFor();
  server.silence();
  const start = Date.now();
  await page.goto(server.url, { waitUntil: 'commit' });
  await page.waitForSelector('main:not([data-state=loading])');
  const seconds = (Date.now() - start) / 1000;
  const { status, problem } = await settled(page);
  server.close();
  return { seconds, status, problem };
}

/** Milliseconds per picture of each file, as the page shows them. */
async function speeds() {
  const page = await open(PHONE);
  await visit(page, '');
  const files = await page.$$eval('#file option', (all) => all.map((option) => option.value));
  const found = {};
  for (const file of files.length ? files : ['generator-int8.tflite']) {
    await visit(page, `?file=${file}`);
    await page.waitForFunction(() => document.getElementById('speed').textContent.endsWith('ms'));
    found[file] = await page.locator('#speed').textContent();
  }
  return found;
}

await report(async () => ({
  here: await firstPicture(),
  slow: await firstPicture(LINE),
  silent: await silentServer(),
  speeds: await speeds(),
}));
