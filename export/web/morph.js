// The morph: a picture on the way from picture A to picture B, a slider, and a button that walks through all pictures.

import { PICTURES, setAddress } from './address.js';
import { paint } from './generator.js';
import { spherical } from './latents.js';
import { attempt, ui } from './page.js';

const WALK_MS = 2000; // from one picture to the next

export class Morph {
  /** `mark` is called with the pair of indices whenever it changes. */
  constructor(generator, noun, pair, way, mark) {
    Object.assign(this, { generator, noun, pair, mark });
    this.walks = 0; // counted, so that a newer one stops the older ones
    this.playing = false;
    ui.way.value = way;
    ui.way.addEventListener('input', attempt(() => this.stop().walk()));
    ui.play.addEventListener('click', attempt(() => (this.playing ? this.stop() : this.play())));
  }

  /** Takes the pictures of another seed, or of other classes. */
  async show(seed, labels) {
    Object.assign(this, { seed, labels });
    await this.setPair(this.pair);
  }

  /** The picture that the visitor chose becomes B; the one that was B becomes A. */
  async choose(index) {
    if (index !== this.pair[1]) await this.stop().setPair([this.pair[1], index]);
  }

  async setPair(pair) {
    this.pair = pair;
    this.latents = null; // they belong to pictures that are no longer chosen
    this.mark(pair);
    await this.walk();
  }

  /** The picture at `way` %, by default that of the slider: uint8. */
  async picture(way = Number(ui.way.value)) {
    this.latents ??= Promise.all(this.pair.map((index) => this.generator.latents(this.seed, index)));
    const closer = this.pair[way < 50 ? 0 : 1]; // there is no class between two classes
    const [start, end] = await this.latents;
    return this.generator.generate(spherical(start, end, way / 100), this.labels[closer]);
  }

  /** Draws the picture at the position of the slider. */
  async walk() {
    const mine = ++this.walks;
    const [a, b] = this.pair.map((index) => index + 1);
    const place = `${ui.way.value} % of the way from ${this.noun} ${a} to ${this.noun} ${b}`;
    ui.way.ariaValueText = place;
    setAddress({ pair: `${a},${b}`, way: ui.way.value });
    const picture = await this.picture();
    if (mine !== this.walks) return;
    paint(ui.morph, [picture], this.generator);
    ui.morph.ariaLabel = `Seed ${this.seed}, ${place}`;
  }

  /** Walks from picture to picture until it is stopped. */
  async play() {
    this.playing = true;
    ui.play.textContent = 'Stop';
    const frame = () => new Promise(requestAnimationFrame);
    let before = await frame();
    let way = Number(ui.way.value) % 100;
    try {
      while (this.playing) {
        const now = await frame();
        way += (100 * (now - before)) / WALK_MS;
        before = now;
        if (!this.playing) return;
        ui.way.value = Math.min(100, way);
        await this.walk();
        if (way < 100 || !this.playing) continue;
        way = ui.way.value = 0;
        const [a, b] = this.pair;
        const next = (b + 1) % PICTURES;
        await this.setPair([b, next === a ? (next + 1) % PICTURES : next]);
      }
    } finally {
      this.stop();
    }
  }

  stop() {
    this.playing = false;
    ui.play.textContent = 'Play';
    return this;
  }
}
