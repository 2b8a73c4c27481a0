// Saves pictures and animations as files, and shares the address.

import { fullAddress } from './address.js';
import { paint } from './generator.js';
import { encodeGif } from './gif.js';
import { attempt, ui } from './page.js';

const LEAST_PIXELS = 256; // of a saved picture's height; a generator's own 64 are too few for a message
const FRAMES = 20; // from A to B; as many go back
const COPY = 'Copy link';

function download(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const enlargement = (height) => Math.max(1, Math.ceil(LEAST_PIXELS / height));

/** Saves a canvas as PNG, each pixel enlarged to a square. */
export async function savePicture(canvas, name) {
  const times = enlargement(canvas.height);
  const large = Object.assign(document.createElement('canvas'), { width: times * canvas.width, height: times * canvas.height });
  const context = large.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  download(await new Promise((resolve) => large.toBlob(resolve)), name);
}

/** Saves the way from A to B and back as an animated GIF. */
async function saveAnimation(morph, name) {
  const { width, height } = morph.generator;
  const canvas = document.createElement('canvas');
  const frames = [];
  for (let frame = 0; frame <= FRAMES; frame++) {
    paint(canvas, [await morph.picture((100 * frame) / FRAMES)], morph.generator);
    frames.push(canvas.getContext('2d').getImageData(0, 0, width, height).data);
  }
  frames.push(...frames.slice(1, -1).reverse());
  download(encodeGif(frames, width, height, enlargement(height)), name);
}

async function share() {
  const url = fullAddress();
  if (!navigator.share) {
    await navigator.clipboard.writeText(url);
    ui.status.textContent = 'The link is copied.';
    ui.share.textContent = 'Copied'; // the status may be out of view
    setTimeout(() => (ui.share.textContent = COPY), 2000);
    return;
  }
  await navigator.share({ title: document.title, url }).catch((error) => {
    if (error.name !== 'AbortError') throw error; // the visitor changed their mind
  });
}

/** Makes the three buttons below the morph work. */
export function offerSaving(morph) {
  const name = () => `seed${morph.seed}-${morph.pair.map((index) => index + 1).join('-')}`;
  ui.savepicture.addEventListener('click', attempt(() => savePicture(ui.morph, `${name()}-${ui.way.value}.png`)));
  ui.saveanimation.addEventListener('click', attempt(() => saveAnimation(morph.stop(), `${name()}.gif`)));
  ui.share.addEventListener('click', attempt(share));
  ui.share.hidden = !navigator.share && !navigator.clipboard; // neither at a plain http address
  ui.share.textContent = navigator.share ? 'Share' : COPY;
}
