// Animated GIFs: the one animation that every messenger shows.

const DELAY = 5; // hundredths of a second between two frames
const CODE_BITS = 8, CLEAR = 256, END = 257, MOST_CODES = 4096;
const GREY = Array.from({ length: 256 }, (_, level) => [level, level, level]);
const LEVELS = [6, 7, 6]; // of red, green and blue: 252 colours
const COLOURS = GREY.map((_, i) => [Math.floor(i / 42) % 6, Math.floor(i / 6) % 7, i % 6].map((level, c) => (255 * level) / (LEVELS[c] - 1)));
const DITHER = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5].map((place) => place / 16); // Bayer's 4 x 4

/** Frames, RGBA of one size, each pixel enlarged `times`, as a GIF that repeats for ever. Grey is exact. */
export function encodeGif(frames, width, height, times) {
  const grey = frames.every((frame) => frame.every((value, i) => i % 4 === 3 || value === frame[i - (i % 4)]));
  const word = (value) => [value & 255, value >> 8];
  const size = [...word(width * times), ...word(height * times)];
  const ascii = (text) => [...text].map((letter) => letter.charCodeAt(0));
  const parts = [
    [...ascii('GIF89a'), ...size, 0xf7, 0, 0], // a table of 256 colours follows
    (grey ? GREY : COLOURS).flat(),
    [0x21, 0xff, 11, ...ascii('NETSCAPE2.0'), 3, 1, 0, 0, 0],
  ];
  for (const frame of frames) {
    const indices = new Uint8Array(width * height * times * times);
    for (let y = 0, i = 0; y < height * times; y++) {
      for (let x = 0; x < width * times; x++, i++) {
        const pixel = 4 * (Math.floor(y / times) * width + Math.floor(x / times));
        indices[i] = grey ? frame[pixel] : nearest(frame, pixel, DITHER[4 * (y % 4) + (x % 4)]);
      }
    }
    parts.push([0x21, 0xf9, 4, 0, ...word(DELAY), 0, 0], [0x2c, 0, 0, 0, 0, ...size, 0, CODE_BITS], ...blocks(compress(indices)));
  }
  parts.push([0x3b]);
  return new Blob(parts.map((part) => Uint8Array.from(part)), { type: 'image/gif' });
}

/** The number of a colour in the table; `dither`, from 0 to 1, decides between the two levels around each value. */
function nearest(frame, pixel, dither) {
  const [r, g, b] = LEVELS.map((levels, c) => Math.floor((frame[pixel + c] / 255) * (levels - 1) + dither));
  return 42 * r + 6 * g + b;
}

/** LZW, with codes that grow from 9 to 12 bits. */
function compress(indices) {
  const bytes = [];
  let buffer = 0, filled = 0, bits = CODE_BITS + 1;
  const write = (code) => {
    buffer |= code << filled;
    for (filled += bits; filled >= 8; filled -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  let codes = new Map(), next = END + 1;
  write(CLEAR);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const key = (prefix << 8) | indices[i];
    const known = codes.get(key);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    write(prefix);
    prefix = indices[i];
    if (next === MOST_CODES) {
      write(CLEAR);
      codes = new Map();
      next = END + 1;
      bits = CODE_BITS + 1;
    } else {
      if (next === 1 << bits) bits++;
      codes.set(key, next++);
    }
  }
  write(prefix);
  write(END);
  if (filled) bytes.push(buffer & 255);
  return bytes;
}

/** Data in blocks of up to 255 bytes, each after its length, and an empty one. */
function blocks(bytes) {
  const parts = [];
  for (let i = 0; i < bytes.length; i += 255) parts.push([Math.min(255, bytes.length - i), ...bytes.slice(i, i + 255)]);
  return [...parts, [0]];
}
