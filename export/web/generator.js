// A generator in a .tflite file, run by LiteRT in WebAssembly, and its pictures on a canvas.

import { Problem } from './page.js';

/** A generator in a .tflite file. Shapes are read from its signatures; `classes` has names and counts, or is absent. */
export class Generator {
  constructor(litert, model, classes) {
    const { generate, sample } = model.signatures;
    this.litert = litert;
    this.model = model;
    this.classes = classes;
    [this.batch, this.latentDim] = generate.getInputDetails().find(({ name }) => name === 'latents').shape;
    [, this.height, this.width, this.channels] = sample.getOutputDetails()[0].shape;
  }

  /** Raises Problem if the file does not run here. */
  static async load(litert, file, bytes, classes) {
    const model = await litert.loadAndCompile(bytes, { accelerator: 'wasm' }).catch((error) => {
      throw new Problem(`${file} does not run here: ${error?.message ?? error}`);
    });
    for (const signature of ['generate', 'sample', 'latents']) {
      if (!(signature in model.signatures)) throw new Problem(`${file} has no signature “${signature}”.`);
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

/** Puts pictures, uint8 of 1 or 3 channels, side by side on a canvas. */
export function paint(canvas, pictures, { width, height, channels }) {
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
