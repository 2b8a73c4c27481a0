// LiteRT.js. Its WebAssembly is downloaded here and not by LiteRT.js, which would start later and show no progress.

import { download } from './download.js';
import { Problem } from './page.js';

const FOLDER = 'litert/wasm/';

/** Loads the runtime and returns LiteRT.js. Raises Problem. */
export async function loadRuntime() {
  if (typeof WebAssembly !== 'object') {
    throw new Problem(
      'This browser has no WebAssembly, which the generator needs. Some browsers turn it off for safety ' +
        '(“lockdown” or “safest” mode). Allow it for this page, or use another browser.',
    );
  }
  try {
    const litert = await import('@litertjs/core');
    const kind = (await litert.supportsFeature('relaxedSimd')) ? '' : 'compat_'; // as loadLiteRt chooses
    const compiled = WebAssembly.compileStreaming(download(`${FOLDER}litert_wasm_${kind}internal.wasm`, 'application/wasm'));
    const started = new Promise((_, reject) => {
      self.Module = {
        instantiateWasm: (imports, done) => {
          compiled
            .then(async (module) => done(await WebAssembly.instantiate(module, imports), module))
            .catch(reject);
        },
        // LiteRT logs to stderr, which the console would show as errors; show only its real errors so.
        printErr: (line) => (/^(ERROR|FATAL|[EF]\d{4} )/.test(line) ? console.error(line) : console.debug(line)),
      };
    });
    compiled.catch(() => {}); // reported when it is awaited
    await Promise.race([litert.loadLiteRt(new URL(FOLDER, location).href), started]);
    return litert;
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(
      'The runtime, LiteRT.js, cannot be loaded. Check the network and reload the page; the browser must be from 2023 ' +
        `or later. (${error?.message ?? 'a script is missing'})`,
    );
  }
}
