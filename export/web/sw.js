// Answers with what an earlier visit stored, at once, and renews it behind: the page does not wait for the network.

const CACHE = 'keras-dcgan'; // also in keep.js

const LOADED_MS = 20_000; // after which a page has loaded, or never will

// The files are renewed when the page says that it has loaded: files of two versions do not fit together.
let loaded = () => {};
let renewal = Promise.resolve(false); // whether the last one has changed anything

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (method === 'GET' && url.startsWith(self.location.origin)) event.respondWith(answer(event));
});

self.addEventListener('message', (event) => {
  loaded();
  event.waitUntil(renewal.then((changed) => changed && event.source.postMessage('renewed')));
});

async function answer(event) {
  const cache = await caches.open(CACHE);
  if (event.request.mode === 'navigate') {
    const wait = new Promise((resolve) => {
      loaded = resolve;
      setTimeout(resolve, LOADED_MS);
    });
    event.waitUntil((renewal = wait.then(() => renew(cache))));
  }
  const key = event.request.url.replace(/[?#].*/, ''); // the page is the same for every query
  const kept = await cache.match(key);
  if (kept) return kept;
  const response = await fetch(event.request);
  // A download that breaks off is not stored.
  if (response.ok) event.waitUntil(cache.put(key, response.clone()).catch(() => {}));
  return response;
}

/** Asks the server for what has changed, stores all of it or nothing, and returns whether there was something. */
async function renew(cache) {
  const stored = await cache.keys();
  const answers = await Promise.all(
    stored.map(async ({ url }) => {
      const { headers } = await cache.match(url);
      const marks = [['If-None-Match', headers.get('ETag')], ['If-Modified-Since', headers.get('Last-Modified')]];
      const response = await fetch(url, { cache: 'no-store', headers: marks.filter(([, mark]) => mark) });
      // A body is read to its end before anything is stored.
      return { url, response: response.ok ? new Response(await response.blob(), response) : response };
    }),
  ).catch(() => []); // no network
  if (answers.some(({ response }) => ![200, 304, 404].includes(response.status))) return false;
  const changed = answers.filter(({ response }) => response.status !== 304);
  for (const { url, response } of changed) await (response.ok ? cache.put(url, response) : cache.delete(url));
  return changed.length > 0;
}
