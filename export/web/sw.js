// Without a network, serves the page from what an earlier visit stored. With one, asks the network first, so that a new
// export is seen at once; the browser asks the server only whether a file has changed.

const CACHE = 'keras-dcgan'; // also in main.js
const PATIENCE_MS = 3000; // for a network that does not answer

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (method === 'GET' && url.startsWith(self.location.origin)) event.respondWith(answer(event));
});

async function answer(event) {
  const cache = await caches.open(CACHE);
  const key = event.request.url.replace(/[?#].*/, ''); // the page is the same for every query
  const kept = await cache.match(key);
  const asked = fetch(event.request);
  if (!kept) return asked.then((response) => keep(event, cache, key, response));
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, kept));
  const fresh = asked.then((response) => (response.status < 500 ? keep(event, cache, key, response) : kept));
  return Promise.race([fresh.catch(() => kept), late]);
}

function keep(event, cache, key, response) {
  // A download that breaks off is not stored; the earlier copy stays.
  if (response.ok) event.waitUntil(cache.put(key, response.clone()).catch(() => {}));
  if (response.status === 404) event.waitUntil(cache.delete(key));
  return response;
}
