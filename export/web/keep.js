// Stores what this page has fetched, so that it also starts without a network.

import { ui } from './page.js';

const CACHE = 'keras-dcgan'; // also in sw.js

export async function keep() {
  if (!navigator.serviceWorker) return; // the address has no https and is not this machine's
  navigator.serviceWorker.addEventListener('message', () => (ui.renewed.hidden = false));
  ui.reload.addEventListener('click', () => location.reload());
  await navigator.serviceWorker.register('sw.js');
  const { active } = await navigator.serviceWorker.ready;
  active.postMessage('loaded');
  const cache = await caches.open(CACHE);
  const fetched = performance.getEntriesByType('resource').map(({ name }) => name);
  for (const url of new Set([location.origin + location.pathname, ...fetched])) {
    if (!url.startsWith(location.origin) || (await cache.match(url))) continue;
    const response = await fetch(url, { cache: 'force-cache' }); // from the browser's cache, without a second download
    if (response.ok) await cache.put(url, response);
  }
  ui.offline.textContent = 'works';
}
