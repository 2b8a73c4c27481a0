// The arithmetic of random numbers that does not need the generator.

/** The class of picture `index` if none is chosen, in the data's mix; `random_label` in export/sampler.py explains it. */
export function randomLabel(seed, index, counts) {
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
export function spherical(start, end, t) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const near = Math.sin(angle) < 1e-6; // the same direction: the two formulas meet
  const a = near ? 1 - t : Math.sin((1 - t) * angle) / Math.sin(angle);
  const b = near ? t : Math.sin(t * angle) / Math.sin(angle);
  return start.map((value, i) => a * value + b * end[i]);
}
