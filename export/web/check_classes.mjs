// What the page does with a generator whose classes are a, b and c, or longer in long.tflite; for test_web_classes.py:
//
//   node check_classes.mjs URL CHROMIUM

import { accessibility, console_, DESKTOP, grid, open, overflow, picture, report, settled, SMALL, visit } from './drive.mjs';

const written = (page) => picture(page, '#written');

async function check() {
  const seen = { draws: {}, morphs: {}, accessibility: {} };
  const page = await open(SMALL);
  seen.first = await visit(page, '?seed=7');
  seen.draws.any = await grid(page);
  seen.names = await page.$$eval('#grid button', (all) => all.map((cell) => cell.ariaLabel));
  seen.unwritten = await page.locator('#written').isVisible();
  for (const way of [0, 100]) {
    await page.locator('#way').fill(String(way));
    await page.locator(`#morph[aria-label^="Seed 7, ${way} %"]`).waitFor();
    seen.morphs[way] = await picture(page, '#morph');
  }

  await page.locator('#label').selectOption('b');
  seen.chosen = await settled(page);
  seen.draws.b = await grid(page);
  await page.waitForURL(/label=b/);
  seen.address = page.url();

  // With the keyboard alone, from the button before: the text, then the other hand.
  await page.locator('#share').focus();
  await page.keyboard.press('Tab');
  await page.keyboard.type('cab');
  await page.locator('#written[aria-label="“cab” in hand 1 of seed 7"]').waitFor();
  seen.draws['hand 0'] = await written(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('#written[aria-label="“cab” in hand 2 of seed 7"]').waitFor();
  seen.draws['hand 1'] = await written(page);
  await page.waitForURL(/hand=1/);
  seen.written = page.url();
  seen.accessibility.light = await accessibility(page);
  seen.overflow = await overflow(page);
  await page.locator('#text').fill('cad');
  seen.refused = await page.locator('#text').evaluate((input) => input.validationMessage);

  const again = await open(DESKTOP);
  await visit(again, '?text=cab&seed=7&hand=1&label=c');
  seen.draws['by address'] = await written(again);
  seen.draws.c = await grid(again);
  seen.accessibility.dark = await accessibility(again);
  await again.locator('#text').fill('');
  await again.waitForURL((address) => !address.searchParams.has('text'));
  seen.cleared = await again.locator('#written').isHidden();

  const long = await open(SMALL);
  await visit(long, '?file=long.tflite&label=1');
  seen.long = {
    label: await long.locator('#label').inputValue(),
    writes: await long.locator('#writing').isVisible(),
    overflow: await overflow(long),
  };
  return { ...seen, console: console_ };
}

await report(check);
