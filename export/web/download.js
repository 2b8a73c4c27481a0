// Downloads the large files, and shows how far they are.

import { Problem, ui } from './page.js';

const SIZES = JSON.parse(ui.sizes.textContent); // address -> bytes; serve.py writes them into index.html
const PATIENCE_MS = 20_000; // without a byte
const AT_ONCE = 2; // the runtime and the generator
let finished = false;
const running = []; // {done, total}: bytes as they are sent, compressed if the server compresses

function showProgress() {
  if (finished || running.length < AT_ONCE) return; // with one, the total is not known yet
  const [done, total] = ['done', 'total'].map((part) => running.reduce((sum, download) => sum + download[part], 0));
  ui.progress.hidden = false;
  ui.progress.max = total;
  ui.progress.value = done;
  ui.loaded.textContent = `Loading: ${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`;
}

export function hideProgress() {
  finished = true;
  ui.progress.hidden = true;
  ui.loaded.textContent = '';
}

/** The answer of the server for a file of the site, while it still arrives. Raises Problem if the server is silent. */
export async function download(address, type) {
  const controller = new AbortController();
  let watch;
  const wait = () => {
    clearTimeout(watch);
    watch = setTimeout(() => controller.abort(), PATIENCE_MS);
  };
  const name = address.split('/').pop();
  const problem = () =>
    new Problem(
      controller.signal.aborted
        ? `${name} cannot be loaded: the server does not answer, and no earlier visit stored the file.`
        : `${name} cannot be loaded: there is no network, and no earlier visit stored the file.`,
    );
  wait();
  const response = await fetch(address, { signal: controller.signal }).catch(() => {
    clearTimeout(watch);
    throw problem();
  });
  if (!response.ok) {
    clearTimeout(watch);
    return response;
  }
  const sent = Number(response.headers.get('Content-Length'));
  const size = SIZES[address] ?? sent;
  const progress = { done: 0, total: sent || size };
  running.push(progress);
  const counter = new TransformStream({
    transform(chunk, out) {
      wait();
      progress.done += size ? (chunk.length * progress.total) / size : 0;
      showProgress();
      out.enqueue(chunk);
    },
    flush: () => clearTimeout(watch),
  });
  const body = response.body.pipeThrough(counter);
  return new Response(body, { status: response.status, headers: { 'Content-Type': type } });
}
