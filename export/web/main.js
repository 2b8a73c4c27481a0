// Draws pictures in the browser with a generator that `python -m export` wrote; README.md says how to serve the page.
//
//   ?file=generator.tflite   which of the exported files; by default the int8 one
//   ?seed=7                  which pictures: those of python -m export.sampler --seed=7

const PICTURES = 30;
const MAX_SEED = 2 ** 31 - 1;
const MODELS = 'models/';
const CACHE = 'keras-dcgan'; // also in sw.js
const NAME = 'keras-dcgan-generator'; // what the files say of themselves
const KINDS = ['int8', 'int8-full', 'float16', 'float32']; // the first that was exported is the default

const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));

/** A problem that the visitor can understand and fix; the page shows the message as it is. */
class Problem extends Error {}

/** A generator in a .tflite file. Shapes are read from its signatures. */
class Generator {
  constructor(litert, model) {
    const { generate, sample } = model.signatures;
    this.litert = litert;
    this.model = model;
    [this.batch, this.latentDim] = generate.getInputDetails()[0].shape;
    [, this.height, this.width, this.channels] = sample.getOutputDetails()[0].shape;
  }

  static async load(litert, bytes) {
    const model = await litert.loadAndCompile(bytes, { accelerator: 'wasm' });
    for (const signature of ['generate', 'sample', 'latents']) {
      if (!(signature in model.signatures)) throw new Problem(`The file has no signature “${signature}”.`);
    }
    const generator = new Generator(litert, model);
    await generator.sample(0, 0); // packs the weights: only the first call is slow
    return generator;
  }

  /** Picture `index` of a seed: uint8, [height * width * channels]. */
  sample(seed, index) {
    return this.run('sample', new Int32Array([seed, index]), [2]);
  }

  /** The latents from which `sample` draws: float32, [latentDim]. */
  latents(seed, index) {
    return this.run('latents', new Int32Array([seed, index]), [2]);
  }

  /** The picture of given latents: uint8, [height * width * channels]. */
  async generate(latents) {
    const rows = new Float32Array(this.batch * this.latentDim);
    rows.set(latents);
    const images = await this.run('generate', rows, [this.batch, this.latentDim]);
    const values = this.height * this.width * this.channels;
    return Uint8ClampedArray.from(images.subarray(0, values), (value) => Math.round((value + 1) * 127.5));
  }

  async run(signature, values, shape) {
    const input = new this.litert.Tensor(values, shape);
    try {
      const [output] = await this.model.run(signature, [input]);
      try {
        return await output.data();
      } finally {
        output.delete();
      }
    } finally {
      input.delete();
    }
  }
}

/** A point between two latents, t from 0 to 1, on the sphere: a straight line leaves the lengths seen in training. */
function spherical(start, end, t) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const near = Math.sin(angle) < 1e-6; // the same direction: the two formulas meet
  const a = near ? 1 - t : Math.sin((1 - t) * angle) / Math.sin(angle);
  const b = near ? t : Math.sin(t * angle) / Math.sin(angle);
  return start.map((value, i) => a * value + b * end[i]);
}

/** Puts a picture, uint8 of 1 or 3 channels, on a canvas. */
function paint(canvas, picture, { width, height, channels }) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = picture[channels * i + (c % channels)];
    image.data[4 * i + 3] = 255;
  }
  Object.assign(canvas, { width, height });
  canvas.getContext('2d').putImageData(image, 0, 0);
}

/** The JSON object that `python -m export` appends to a file in a zip archive, uncompressed; null if there is none. */
function readMetadata(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length - 22; // the archive's last record, which has no comment
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) return null;
  const entry = view.getUint32(end + 16, true);
  const header = view.getUint32(entry + 42, true);
  const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  try {
    return JSON.parse(new TextDecoder().decode(bytes.subarray(start, start + view.getUint32(entry + 20, true))));
  } catch {
    return null;
  }
}

async function loadRuntime() {
  if (typeof WebAssembly !== 'object') {
    throw new Problem(
      'This browser has no WebAssembly, which the generator needs. Some browsers turn it off for safety ' +
        '(“lockdown” or “safest” mode). Allow it for this page, or use another browser.',
    );
  }
  // LiteRT logs to stderr, which the console would show as errors; show only its real errors so.
  self.Module = {
    printErr: (line) => (/^(ERROR|FATAL|[EF]\d{4} )/.test(line) ? console.error(line) : console.debug(line)),
  };
  try {
    const litert = await import('@litertjs/core');
    await litert.loadLiteRt(new URL('litert/wasm/', location).href);
    return litert;
  } catch (error) {
    throw new Problem(
      'The runtime, LiteRT.js, cannot be loaded. Check that serve.py serves this page, that the network works, ' +
        `and that the browser is from 2023 or later. (${error?.message ?? 'a script is missing'})`,
    );
  }
}

/** What was exported, by export.json: [{file, kind, bytes}], or [] if it cannot be read. */
async function listFiles() {
  try {
    const { files } = await (await fetch(MODELS + 'export.json')).json();
    return files.filter(({ file }) => file.endsWith('.tflite'));
  } catch {
    return [];
  }
}

function chooseFile(files, asked) {
  const first = KINDS.map((kind) => files.find((file) => file.kind === kind)).find(Boolean);
  const file = asked ?? first?.file ?? 'generator-int8.tflite';
  if (!/^[\w.-]+\.tflite$/.test(file)) throw new Problem(`?file=${file} is not the name of a .tflite file.`);
  return file;
}

async function fetchFile(file, files) {
  let response;
  try {
    response = await fetch(MODELS + file);
  } catch {
    throw new Problem(`${file} cannot be loaded: there is no network, and no earlier visit stored the file.`);
  }
  if (response.status === 404) {
    const others = files.map((other) => other.file).join(', ');
    throw new Problem(
      `${file} is missing. ${others ? `The folder holds ${others}. ` : ''}Export a generator with ` +
        '“python -m export --run_dir=… --out=exported/” and serve it with “make web EXPORTED=exported/”.',
    );
  }
  if (!response.ok) throw new Problem(`${file} cannot be loaded: the server answers ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

function checkFile(file, bytes) {
  if (new TextDecoder().decode(bytes.subarray(4, 8)) !== 'TFL3') throw new Problem(`${file} is not a .tflite file.`);
  const metadata = readMetadata(bytes);
  if (metadata?.name !== NAME) throw new Problem(`${file} is incomplete, or python -m export did not write it.`);
  if (metadata.format > 1) throw new Problem(`${file} is newer than this page; use the page of the program that exported it.`);
  return metadata;
}

/** The page's parts that need a generator: the grid, the morph, the form. */
class Studio {
  constructor(generator, noun) {
    this.generator = generator;
    this.noun = noun;
    this.seed = 0;
    this.ends = [0, 1]; // places in the grid: A, B
    this.walks = this.draws = 0; // counted, so that a newer one stops the older ones
    this.cells = Array.from({ length: PICTURES }, (_, i) => this.makeCell(i));
    ui.grid.append(...this.cells);
    ui.grid.addEventListener('keydown', (event) => this.moveFocus(event));
    ui.way.addEventListener('input', () => this.walk());
    ui.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.draw(ui.seed.valueAsNumber);
    });
    ui.surprise.addEventListener('click', () => this.draw(Math.floor(Math.random() * (MAX_SEED + 1))));
  }

  makeCell(index) {
    const cell = document.createElement('button');
    cell.type = 'button';
    cell.tabIndex = index === 0 ? 0 : -1; // one stop for Tab; the arrows move inside
    cell.append(document.createElement('canvas'));
    cell.addEventListener('click', () => {
      if (index !== this.ends[1]) this.setEnds([this.ends[1], index]);
    });
    return cell;
  }

  moveFocus(event) {
    const columns = getComputedStyle(ui.grid).gridTemplateColumns.split(' ').length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const from = this.cells.indexOf(document.activeElement);
    const to = { Home: 0, End: PICTURES - 1 }[event.key] ?? from + steps[event.key];
    if (from < 0 || !this.cells[to]) return;
    event.preventDefault();
    this.cells[from].tabIndex = -1;
    this.cells[to].tabIndex = 0;
    this.cells[to].focus();
  }

  /** Draws the grid of a seed, and the morph between its chosen pictures. */
  async draw(seed) {
    const mine = ++this.draws;
    this.seed = seed;
    ui.seed.value = seed;
    const address = new URL(location);
    address.searchParams.set('seed', seed);
    history.replaceState(null, '', address);
    ui.main.ariaBusy = 'true';
    const times = [];
    let rested = performance.now();
    for (const [index, cell] of this.cells.entries()) {
      const start = performance.now();
      const picture = await this.generator.sample(seed, index);
      times.push(performance.now() - start);
      if (mine !== this.draws) return;
      paint(cell.firstChild, picture, this.generator);
      if (performance.now() - rested > 30) { // lets the page answer, and show what is drawn so far
        await new Promise((resolve) => setTimeout(resolve));
        rested = performance.now();
      }
    }
    await this.setEnds(this.ends);
    if (mine !== this.draws) return;
    const middle = times.sort((a, b) => a - b)[PICTURES >> 1]; // the median: a busy machine would spoil the mean
    ui.speed.textContent = `${middle.toFixed(1)} ms`;
    ui.status.textContent = `${PICTURES} ${this.noun}s of seed ${seed}, ${middle.toFixed(1)} ms each.`;
    ui.main.ariaBusy = 'false';
  }

  async setEnds(ends) {
    this.ends = ends;
    this.latents = null; // they belong to pictures that are no longer chosen
    for (const [index, cell] of this.cells.entries()) {
      const end = 'AB'[ends.indexOf(index)];
      cell.toggleAttribute('data-end', Boolean(end));
      if (end) cell.dataset.end = end;
      cell.ariaPressed = String(Boolean(end));
      cell.ariaLabel = `${this.noun} ${index + 1}${end ? `, end ${end} of the morph` : ''}`;
    }
    await this.walk();
  }

  /** Draws the morph at the position of the slider. */
  async walk() {
    const mine = ++this.walks;
    const [a, b] = this.ends;
    const place = `${ui.way.value} % of the way from ${this.noun} ${a + 1} to ${this.noun} ${b + 1}`;
    ui.way.ariaValueText = place;
    this.latents ??= Promise.all(this.ends.map((index) => this.generator.latents(this.seed, index)));
    const [start, end] = await this.latents;
    const picture = await this.generator.generate(spherical(start, end, ui.way.value / 100));
    if (mine !== this.walks) return;
    paint(ui.morph, picture, this.generator);
    ui.morph.ariaLabel = `Seed ${this.seed}, ${place}`;
  }
}

function describe(generator, metadata, bytes) {
  const { width, height, channels, latentDim } = generator;
  ui.size.textContent = `${(bytes.length / 1e6).toFixed(2)} MB`;
  ui.weights.textContent = metadata.weights ?? 'not known';
  ui.shape.textContent = `${width} × ${height}, ${channels === 1 ? 'grey' : 'colour'}`;
  ui.latents.textContent = `${latentDim}`;
}

function offerFiles(files, chosen) {
  if (files.length < 2) return;
  ui.file.append(...files.map(({ file, kind }) => new Option(kind, file, false, file === chosen)));
  ui.file.addEventListener('change', () => {
    const address = new URL(location);
    address.searchParams.set('file', ui.file.value);
    location.assign(address);
  });
  ui.choice.hidden = false;
}

/** Stores what this page has fetched, so that it also starts without a network. */
async function keep() {
  if (!navigator.serviceWorker) return; // the address has no https and is not this machine's
  await navigator.serviceWorker.register('sw.js');
  await navigator.serviceWorker.ready;
  const cache = await caches.open(CACHE);
  const fetched = performance.getEntriesByType('resource').map(({ name }) => name);
  for (const url of new Set([location.origin + location.pathname, ...fetched])) {
    if (!url.startsWith(location.origin) || (await cache.match(url))) continue;
    const response = await fetch(url, { cache: 'force-cache' }); // from the browser's cache, without a second download
    if (response.ok) await cache.put(url, response);
  }
  ui.offline.textContent = 'works';
}

async function start() {
  const query = new URLSearchParams(location.search);
  const runtime = loadRuntime();
  runtime.catch(() => {}); // reported below, when it is awaited
  const files = await listFiles();
  const file = chooseFile(files, query.get('file'));
  offerFiles(files, file);
  ui.status.textContent = `Loading the runtime and ${file} …`;
  const [litert, bytes] = await Promise.all([runtime, fetchFile(file, files)]);
  const metadata = checkFile(file, bytes);
  const generator = await Generator.load(litert, bytes).catch((error) => {
    throw error instanceof Problem ? error : new Problem(`${file} does not run here: ${error?.message ?? error}`);
  });
  describe(generator, metadata, bytes);
  const noun = metadata.trained_on === 'mnist' ? 'digit' : 'picture';
  ui.title.textContent = noun === 'digit' ? 'Digits that nobody wrote' : 'Pictures that nobody took';
  ui.tools.hidden = false;
  const seed = Number(query.get('seed') ?? 0);
  await new Studio(generator, noun).draw(Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED ? seed : 0);
  ui.main.dataset.state = 'ready';
}

start()
  .then(() => keep().catch((error) => console.warn(`Not stored for use without a network: ${error}`)))
  .catch((error) => {
    if (!(error instanceof Problem)) console.error(error);
    ui.status.textContent = '';
    ui.problem.textContent = error instanceof Problem ? error.message : `An error occurred: ${error?.message ?? error}`;
    ui.problem.hidden = false;
    ui.main.ariaBusy = 'false';
    ui.main.dataset.state = 'failed';
  });
