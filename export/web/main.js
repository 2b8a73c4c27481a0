// Draws pictures in the browser with a generator that `python -m export` wrote; README.md says how to serve the page.
//
//   ?file=generator.tflite   which of the exported files; by default the int8 one
//   ?seed=7                  which pictures: those of python -m export.sampler --seed=7
//   ?label=7                 if the generator has classes: draws this one alone (--label=7)
//   ?text=2026&hand=1        writes a text of class names (--write=2026); hand 1 is the second row of --count=2

const PICTURES = 30;
const MAX_SEED = 2 ** 31 - 1;
const MODELS = 'models/';
const CACHE = 'keras-dcgan'; // also in sw.js
const NAME = 'keras-dcgan-generator'; // what the files say of themselves
const KINDS = ['int8', 'int8-full', 'float16', 'float32']; // the first that was exported is the default

const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));

/** A problem that the visitor can understand and fix; the page shows the message as it is. */
class Problem extends Error {}

/** A generator in a .tflite file. Shapes are read from its signatures; `classes` has names and counts, or is absent. */
class Generator {
  constructor(litert, model, classes) {
    const { generate, sample } = model.signatures;
    this.litert = litert;
    this.model = model;
    this.classes = classes;
    [this.batch, this.latentDim] = generate.getInputDetails().find(({ name }) => name === 'latents').shape;
    [, this.height, this.width, this.channels] = sample.getOutputDetails()[0].shape;
  }

  static async load(litert, bytes, classes) {
    const model = await litert.loadAndCompile(bytes, { accelerator: 'wasm' });
    for (const signature of ['generate', 'sample', 'latents']) {
      if (!(signature in model.signatures)) throw new Problem(`The file has no signature “${signature}”.`);
    }
    const generator = new Generator(litert, model, classes);
    await generator.sample(0, 0, 0); // packs the weights: only the first call is slow
    return generator;
  }

  /** Picture `index` of a seed: uint8, [height * width * channels]. Without classes the label does not matter. */
  sample(seed, index, label) {
    return this.run('sample', { seed: [new Int32Array([seed, index]), [2]], ...this.labelled(label) });
  }

  /** The latents from which `sample` draws: float32, [latentDim]. */
  latents(seed, index) {
    return this.run('latents', { seed: [new Int32Array([seed, index]), [2]] });
  }

  /** The picture of given latents: uint8, [height * width * channels]. */
  async generate(latents, label) {
    const rows = new Float32Array(this.batch * this.latentDim);
    rows.set(latents);
    const images = await this.run('generate', { latents: [rows, [this.batch, this.latentDim]], ...this.labelled(label) });
    const values = this.height * this.width * this.channels;
    return Uint8ClampedArray.from(images.subarray(0, values), (value) => Math.round((value + 1) * 127.5));
  }

  labelled(label) {
    return this.classes ? { label: [new Int32Array([label]), [1]] } : {};
  }

  /** The only output of a signature for inputs {name: [values, shape]}. */
  async run(signature, inputs) {
    const tensors = {};
    try {
      for (const [name, [values, shape]] of Object.entries(inputs)) tensors[name] = new this.litert.Tensor(values, shape);
      const [output] = Object.values(await this.model.run(signature, tensors));
      try {
        return await output.data();
      } finally {
        output.delete();
      }
    } finally {
      for (const tensor of Object.values(tensors)) tensor.delete();
    }
  }
}

/** The class of picture `index` if none is chosen, in the data's mix; `random_label` in export/sampler.py explains it. */
function randomLabel(seed, index, counts) {
  const mixed = (word) => {
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) >>> 0;
  };
  const sum = counts.reduce((total, count) => total + count, 0);
  let place = Number((BigInt(mixed(mixed(seed + 0x9e3779b9) + index)) * BigInt(sum)) >> 32n);
  return counts.findIndex((count) => (place -= count) < 0);
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

/** Puts pictures, uint8 of 1 or 3 channels, side by side on a canvas. */
function paint(canvas, pictures, { width, height, channels }) {
  Object.assign(canvas, { width: width * pictures.length, height });
  for (const [column, picture] of pictures.entries()) {
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = picture[channels * i + (c % channels)];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext('2d').putImageData(image, column * width, 0);
  }
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
  if (metadata.format > 2) throw new Problem(`${file} is newer than this page; use the page of the program that exported it.`);
  return metadata;
}

/** Changes the query of the page's address; null removes a part. */
function setAddress(parts) {
  const address = new URL(location);
  for (const [name, value] of Object.entries(parts)) {
    if (value === null) address.searchParams.delete(name);
    else address.searchParams.set(name, value);
  }
  history.replaceState(null, '', address);
}

/** The field for a text of class names. All its letters are drawn from one latent vector, so they are in one hand. */
class Writer {
  constructor(generator, text) {
    this.generator = generator;
    this.names = generator.classes.names;
    this.seed = this.hand = 0; // the latents are those of picture number `hand`
    this.writes = 0; // counted, so that a newer one stops the older ones
    ui.text.value = text;
    ui.text.inputMode = this.names.every((name) => /^\d$/.test(name)) ? 'numeric' : 'text';
    ui.text.addEventListener('input', () => this.write(this.seed, this.hand));
    ui.another.addEventListener('click', () => this.write(this.seed, this.hand + 1));
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
    ui.written.hidden = !text;
    ui.hand.textContent = text ? `“${text}” in hand ${hand + 1} of seed ${seed}` : '';
    if (!text) return;
    paint(ui.written, pictures, this.generator);
    ui.written.style.setProperty('--letters', labels.length);
    ui.written.ariaLabel = ui.hand.textContent;
  }
}

/** The page's parts that need a generator: the grid, the morph, the form. */
class Studio {
  constructor(generator, noun, writer) {
    this.generator = generator;
    this.noun = noun;
    this.writer = writer;
    this.labels = []; // of the pictures in the grid, if there are classes
    this.seed = null;
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
    ui.label.addEventListener('change', () => this.draw(this.seed));
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
  async draw(seed, hand = 0) {
    const mine = ++this.draws;
    const isNew = seed !== this.seed;
    this.seed = seed;
    ui.seed.value = seed;
    const { classes } = this.generator;
    const chosen = ui.label.value; // '' is any class
    if (classes) {
      this.labels = this.cells.map((_, index) => (chosen ? Number(chosen) : randomLabel(seed, index, classes.counts)));
      setAddress({ label: chosen ? classes.names[chosen] : null });
    }
    setAddress({ seed });
    ui.main.ariaBusy = 'true';
    if (isNew) await this.writer?.write(seed, hand);
    const times = [];
    let rested = performance.now();
    for (const [index, cell] of this.cells.entries()) {
      const start = performance.now();
      const picture = await this.generator.sample(seed, index, this.labels[index]);
      times.push(performance.now() - start);
      if (mine !== this.draws) return;
      paint(cell.firstChild, [picture], this.generator);
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
      const name = this.generator.classes ? `, class ${this.generator.classes.names[this.labels[index]]}` : '';
      cell.ariaLabel = `${this.noun} ${index + 1}${name}${end ? `, end ${end} of the morph` : ''}`;
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
    const nearer = ui.way.value < 50 ? a : b; // there is no class between two classes
    const picture = await this.generator.generate(spherical(start, end, ui.way.value / 100), this.labels[nearer]);
    if (mine !== this.walks) return;
    paint(ui.morph, [picture], this.generator);
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

/** `asked` is the name of a class or, if no class has that name, its number. */
function offerClasses({ names }, asked) {
  ui.label.append(...names.map((name, label) => new Option(name, label)));
  if (names.includes(asked)) ui.label.value = names.indexOf(asked);
  else if (/^\d+$/.test(asked) && names[Number(asked)] !== undefined) ui.label.value = Number(asked);
  ui.chooser.hidden = false;
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
  const classes = metadata.format === 2 ? metadata.classes : undefined;
  const generator = await Generator.load(litert, bytes, classes).catch((error) => {
    throw error instanceof Problem ? error : new Problem(`${file} does not run here: ${error?.message ?? error}`);
  });
  describe(generator, metadata, bytes);
  const noun = metadata.trained_on === 'mnist' ? 'digit' : 'picture';
  ui.title.textContent = noun === 'digit' ? 'Digits that nobody wrote' : 'Pictures that nobody took';
  ui.tools.hidden = false;
  const [seed, hand] = ['seed', 'hand'].map((name) => {
    const number = Number(query.get(name) ?? 0);
    return Number.isInteger(number) && number >= 0 && number <= MAX_SEED ? number : 0;
  });
  if (classes) offerClasses(classes, query.get('label'));
  const writes = classes?.names.every((name) => [...name].length === 1);
  const writer = writes ? new Writer(generator, query.get('text') ?? '') : undefined;
  await new Studio(generator, noun, writer).draw(seed, hand);
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
