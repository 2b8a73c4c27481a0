// The exported files: which there are, which one is taken, and what a file says of itself.

import { fullAddress } from './address.js';
import { download } from './download.js';
import { Problem, ui } from './page.js';

const MODELS = 'models/';
const NAME = 'keras-dcgan-generator'; // what the files say of themselves
// The first that was exported is the default. Times are from Chromium; docs/mobile.md has the figures.
const KINDS = {
  int8: 'small and fast',
  'int8-full': 'small and fast, larger errors',
  float32: 'as Keras draws, up to 3.5 times the time of int8',
  float16: 'as Keras draws, up to 16 times the time of int8',
};

/** What was exported, by export.json: [{file, kind, bytes}], or [] if it cannot be read. */
export async function listFiles() {
  try {
    const { files } = await (await fetch(MODELS + 'export.json')).json();
    return files.filter(({ file }) => file.endsWith('.tflite'));
  } catch {
    return [];
  }
}

export function defaultFile(files) {
  const first = Object.keys(KINDS).map((kind) => files.find((file) => file.kind === kind)).find(Boolean);
  return first?.file ?? 'generator-int8.tflite';
}

function withFile(file) {
  const address = new URL(fullAddress());
  address.searchParams.set('file', file);
  return address.href;
}

/** The choice between the files; choosing one opens the page anew. */
export function offerFiles(files, chosen) {
  if (files.length < 2) return;
  for (const { file, kind, bytes } of files) {
    const name = `${kind}, ${(bytes / 1e6).toFixed(1)} MB${KINDS[kind] ? `: ${KINDS[kind]}` : ''}`;
    ui.file.append(new Option(name, file, false, file === chosen));
  }
  ui.file.addEventListener('change', () => location.assign(withFile(ui.file.value)));
  ui.choice.hidden = false;
}

/** The bytes of a file and its metadata. Raises Problem. */
export async function fetchFile(file, files) {
  const response = await download(MODELS + file, 'application/octet-stream');
  if (response.status === 404) {
    const links = files.map((other) => [other.file, withFile(other.file)]);
    const advice = links.length ? 'These files are there:' : 'Ask the owner of this page to export a generator again.';
    throw new Problem(`${file} is not on this site. ${advice}`, links);
  }
  if (!response.ok) throw new Problem(`${file} cannot be loaded: the server answers ${response.status}. Try again later.`);
  const bytes = new Uint8Array(
    await response.arrayBuffer().catch(() => {
      throw new Problem(`${file} cannot be loaded: the download broke off. Check the network and reload the page.`);
    }),
  );
  return [bytes, checkFile(file, bytes)];
}

function checkFile(file, bytes) {
  if (new TextDecoder().decode(bytes.subarray(4, 8)) !== 'TFL3') throw new Problem(`${file} is not a .tflite file.`);
  const metadata = readMetadata(bytes);
  if (metadata?.name !== NAME) throw new Problem(`${file} is incomplete, or python -m export did not write it.`);
  if (metadata.format > 2) throw new Problem(`${file} is newer than this page; use the page of the program that exported it.`);
  return metadata;
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
