// The field for a text of class names. One latent vector draws all its letters, so they are in one handwriting.

import { setAddress } from './address.js';
import { paint } from './generator.js';
import { attempt, ui } from './page.js';
import { savePicture } from './save.js';

export class Writer {
  constructor(generator, text) {
    this.generator = generator;
    this.names = generator.classes.names;
    this.seed = this.hand = 0; // the latents are those of picture number `hand`
    this.writes = 0; // counted, so that a newer one stops the older ones
    ui.text.value = text;
    ui.text.inputMode = this.names.every((name) => /^\d$/.test(name)) ? 'numeric' : 'text';
    ui.text.addEventListener('input', attempt(() => this.write(this.seed, this.hand)));
    ui.another.addEventListener('click', attempt(() => this.write(this.seed, this.hand + 1)));
    ui.savetext.addEventListener('click', attempt(() => savePicture(ui.written, `${ui.text.value}.png`)));
    ui.writing.addEventListener('submit', (event) => event.preventDefault());
    ui.writing.hidden = false;
  }

  async write(seed, hand) {
    const mine = ++this.writes;
    Object.assign(this, { seed, hand });
    const labels = [...ui.text.value].map((letter) => this.names.indexOf(letter));
    ui.text.setCustomValidity(labels.includes(-1) ? `It can write only ${this.names.join(' ')}` : '');
    if (!ui.text.reportValidity()) return;
    const text = ui.text.value;
    setAddress({ text: text || null, hand: text && hand ? hand : null });
    const pictures = [];
    for (const label of labels) pictures.push(await this.generator.sample(seed, hand, label));
    if (mine !== this.writes) return;
    ui.written.hidden = ui.savetext.hidden = !text;
    ui.hand.textContent = text ? `“${text}” in hand ${hand + 1} of seed ${seed}` : '';
    if (!text) return;
    paint(ui.written, pictures, this.generator);
    ui.written.style.setProperty('--letters', labels.length);
    ui.written.ariaLabel = ui.hand.textContent;
  }
}
