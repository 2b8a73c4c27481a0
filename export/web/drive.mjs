// A headless Chromium for the other .mjs files here: opens the page, waits for it, and reads what it shows.

import { createServer, connect } from 'node:net';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
export const DESKTOP = { viewport: { width: 1280, height: 860 }, colorScheme: 'dark' };
export const PHONE = { viewport: { width: 390, height: 844 }, colorScheme: 'light', isMobile: true, hasTouch: true };
export const SMALL = { ...PHONE, viewport: { width: 320, height: 640 } };

export const [url, executablePath, ...options] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  headless: true, // with an empty profile of its own
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--no-first-run',
  ],
});
export const console_ = []; // [type, text, address] of all pages

/** A page in a profile of its own. */
export async function open(options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  page.on('console', (line) => console_.push([line.type(), line.text(), line.location().url]));
  page.on('pageerror', (error) => console_.push(['error', String(error), page.url()]));
  return page;
}

export async function visit(page, query, base = url) {
  await page.goto(base + query);
  await page.waitForSelector('main:not([data-state=loading])');
  return settled(page);
}

export async function settled(page) {
  await page.waitForSelector('main[aria-busy=false]');
  return {
    state: await page.locator('main').getAttribute('data-state'),
    status: await page.locator('#status').textContent(),
    problem: await page.locator('#problem').textContent(),
  };
}

const rgba = (canvases) =>
  canvases.map((canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]);
export const grid = (page) => page.$$eval('#grid canvas', rgba);
export const picture = async (page, selector) => (await page.$$eval(selector, rgba))[0];
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

export async function accessibility(page) {
  await page.addScriptTag({ path: AXE });
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

/** A server in front of the page's that can go silent: it takes connections, and answers nothing. */
export async function silenceable() {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (front.silent) return;
    const { hostname, port } = new URL(url);
    const back = connect(port, hostname, () => socket.pipe(back).pipe(socket));
    back.on('error', () => socket.destroy());
    socket.on('close', () => back.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const front = {
    url: `http://127.0.0.1:${server.address().port}/`,
    silent: false,
    silence() {
      front.silent = true;
      for (const socket of sockets) socket.destroy();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return front;
}

/** Prints what `work` returns, as JSON, and ends the browser. */
export async function report(work) {
  try {
    console.log(JSON.stringify(await work()));
  } finally {
    await browser.close();
  }
}
