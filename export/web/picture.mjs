// Takes the picture of the page in the docs:
//
//   node picture.mjs URL CHROMIUM ../../docs/web.png [TEXT]

import { DESKTOP, open, options, PHONE, report, visit } from './drive.mjs';

const HEIGHT = 530; // pixels of each view; the picture must stay under 200 KB

/** The page on a desktop and on a phone, side by side. */
async function draw() {
  const views = [];
  for (const view of [{ ...DESKTOP, viewport: { width: 1200, height: 1040 } }, PHONE]) {
    const page = await open({ ...view, deviceScaleFactor: 1 });
    await visit(page, options[1] ? `?seed=7&text=${options[1]}` : '?seed=7');
    for (const index of [5, 28]) await page.locator('#grid button').nth(index).click();
    await page.waitForFunction(() => document.getElementById('speed').textContent.endsWith('ms'));
    await page.evaluate(() => scrollTo(0, 0)); // a click scrolls to its picture
    views.push(`data:image/png;base64,${(await page.screenshot()).toString('base64')}`);
  }
  const page = await open({ viewport: { width: 940, height: 570 } });
  await page.setContent(
    `<body style="margin:0;height:100%;display:flex;gap:24px;align-items:center;justify-content:center;background:#8a93a5">
     ${views.map((view) => `<img src="${view}" style="height:${HEIGHT}px;border-radius:12px">`).join('')}</body>`,
  );
  await page.screenshot({ path: options[0] });
  return options[0];
}

await report(draw);
