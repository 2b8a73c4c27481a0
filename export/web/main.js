// Draws pictures in the browser with a generator that `python -m export` wrote; README.md says how to serve the page,
// and address.js what the page's address may hold.

import { MAX_SEED, PICTURES, readAddress, setAddress } from './address.js';
import { hideProgress } from './download.js';
import { defaultFile, fetchFile, listFiles, offerFiles } from './files.js';
import { Generator } from './generator.js';
import { Grid } from './grid.js';
import { keep } from './keep.js';
import { randomLabel } from './latents.js';
import { Morph } from './morph.js';
import { attempt, Problem, show, ui } from './page.js';
import { loadRuntime } from './runtime.js';
import { offerSaving } from './save.js';
import { Writer } from './writer.js';

const TIMED_MS = 500; // at most, for the time per picture

/** The form, the grid, the morph and the text: all of them draw from one seed. */
class Studio {
  constructor(generator, noun, asked) {
    Object.assign(this, { generator, noun });
    const { classes } = generator;
    const writes = classes?.names.every((name) => [...name].length === 1);
    this.writer = writes ? new Writer(generator, asked.text) : undefined;
    this.grid = new Grid(generator, noun, (index) => this.morph.choose(index));
    this.morph = new Morph(generator, noun, asked.pair, asked.way, (pair) => this.grid.mark(pair));
    offerSaving(this.morph);
    ui.form.addEventListener('submit', (event) => event.preventDefault());
    ui.form.addEventListener('submit', attempt(() => this.draw(ui.seed.valueAsNumber)));
    ui.label.addEventListener('change', attempt(() => this.draw(this.seed)));
    ui.surprise.addEventListener('click', attempt(() => this.draw(Math.floor(Math.random() * (MAX_SEED + 1)))));
  }

  /** Draws all pictures of a seed. */
  async draw(seed, hand = 0) {
    const isNew = seed !== this.seed;
    this.seed = ui.seed.value = seed;
    ui.problem.hidden = true;
    ui.main.ariaBusy = 'true';
    this.morph.stop();
    const { classes } = this.generator;
    const chosen = ui.label.value; // '' is any class
    const label = (_, index) => (chosen ? Number(chosen) : randomLabel(seed, index, classes.counts));
    const labels = Array.from({ length: PICTURES }, classes ? label : () => undefined);
    setAddress({ seed, label: chosen ? classes.names[chosen] : null });
    if (isNew) await this.writer?.write(seed, hand);
    if (!(await this.grid.draw(seed, labels))) return;
    await this.morph.show(seed, labels);
    ui.status.textContent = `${PICTURES} ${this.noun}s of seed ${seed}.`;
    ui.main.ariaBusy = 'false';
  }
}

/** `asked` is the name of a class or, if no class has that name, its number. */
function offerClasses({ names }, asked) {
  ui.label.append(...names.map((name, label) => new Option(name, label)));
  ui.chooser.hidden = false;
  if (asked === null) return;
  const label = names.includes(asked) ? names.indexOf(asked) : Number(/^\d+$/.test(asked) ? asked : NaN);
  if (names[label] === undefined) return `?label=${asked} is none of the classes; the page draws any class.`;
  ui.label.value = label;
}

function describe(generator, metadata, bytes) {
  const { width, height, channels, latentDim } = generator;
  ui.size.textContent = `${(bytes.length / 1e6).toFixed(2)} MB`;
  ui.weights.textContent = metadata.weights ?? 'not known';
  ui.shape.textContent = `${width} × ${height}, ${channels === 1 ? 'grey' : 'colour'}`;
  ui.latents.textContent = `${latentDim}`;
}

/** The median time of a picture, once the browser has compiled the runtime with all its optimisations. */
async function measureSpeed(generator) {
  const times = [];
  await new Promise((resolve) => setTimeout(resolve, 1000));
  for (const end = performance.now() + TIMED_MS; times.length < PICTURES && (performance.now() < end || !times.length); ) {
    const start = performance.now();
    await generator.sample(0, times.length, 0);
    times.push(performance.now() - start);
  }
  ui.speed.textContent = `${times.sort((a, b) => a - b)[times.length >> 1].toFixed(1)} ms`;
}

async function start() {
  const runtime = loadRuntime();
  runtime.catch(() => {}); // reported below, when it is awaited
  const asked = readAddress();
  const files = await listFiles();
  const file = asked.file ?? defaultFile(files);
  offerFiles(files, file);
  const [litert, [bytes, metadata]] = await Promise.all([runtime, fetchFile(file, files)]);
  ui.loaded.textContent = 'Starting …';
  const generator = await Generator.load(litert, file, bytes, metadata.format === 2 ? metadata.classes : undefined);
  describe(generator, metadata, bytes);
  const noun = metadata.trained_on === 'mnist' ? 'digit' : 'picture';
  ui.title.textContent = noun === 'digit' ? 'Digits that nobody wrote' : 'Pictures that nobody took';
  const wrong = [...asked.wrong, generator.classes && offerClasses(generator.classes, asked.label)].filter(Boolean);
  hideProgress();
  ui.tools.hidden = false;
  setAddress({ file });
  await new Studio(generator, noun, asked).draw(asked.seed, asked.hand);
  if (wrong.length) show(new Problem(wrong.join(' ')));
  ui.main.dataset.state = 'ready';
  return generator;
}

try {
  const generator = await start();
  await keep().catch((error) => console.warn(`Not stored for use without a network: ${error}`));
  await measureSpeed(generator);
} catch (error) {
  hideProgress();
  show(error);
  if (ui.main.dataset.state !== 'ready') ui.main.dataset.state = 'failed';
}
