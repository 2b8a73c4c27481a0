// The page's address holds all that the visitor has chosen, so a link shows others the same:
//
//   ?file=generator.tflite   which of the exported files
//   ?seed=7                  which pictures: those of python -m export.sampler --seed=7
//   ?pair=4,9&way=50         the morph: from picture 4 to picture 9, 50 % of the way
//   ?label=7                 if the generator has classes: draws this one alone (--label=7)
//   ?text=2026&hand=1        writes a text of class names (--write=2026); hand 1 is the second row of --count=2

import { Problem } from './page.js';

export const PICTURES = 30;
export const MAX_SEED = 2 ** 31 - 1;
const WAIT_MS = 500; // Safari allows 100 changes of an address in 30 seconds

/** The number `text`; or `instead`, and a line in `wrong`, if it is not a whole number from `least` to `most`. */
function readNumber(name, text, least, most, instead, wrong) {
  if (text === null) return instead;
  if (/^\d{1,10}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
  wrong.push(`?${name}=${text} is not a whole number from ${least} to ${most}; the page takes ${instead}.`);
  return instead;
}

/** What the address asks for; `wrong` lists in words what it asks for in vain. */
export function readAddress() {
  const query = new URLSearchParams(location.search);
  const wrong = [];
  const number = (name, most, instead) => readNumber(name, query.get(name), 0, most, instead, wrong);
  const file = query.get('file');
  if (file !== null && !/^[\w.-]+\.tflite$/.test(file)) throw new Problem(`?file=${file} is not the name of a .tflite file.`);
  let pair = query.get('pair')?.split(',').map((text) => Number(text) - 1) ?? [0, 1];
  if (pair.length !== 2 || pair[0] === pair[1] || !pair.every((index) => Number.isInteger(index) && 0 <= index && index < PICTURES)) {
    wrong.push(`?pair=${query.get('pair')} is not two different numbers from 1 to ${PICTURES}; the page takes 1,2.`);
    pair = [0, 1];
  }
  return {
    file, pair, wrong,
    seed: number('seed', MAX_SEED, 0),
    way: number('way', 100, 50),
    hand: number('hand', MAX_SEED, 0),
    label: query.get('label'),
    text: query.get('text') ?? '',
  };
}

let changes = {};
let timer;

/** Changes parts of the address, soon; null removes one. */
export function setAddress(parts) {
  Object.assign(changes, parts);
  timer ??= setTimeout(fullAddress, WAIT_MS);
}

/** The address with all changes. */
export function fullAddress() {
  clearTimeout(timer);
  timer = undefined;
  const address = new URL(location);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) address.searchParams.delete(name);
    else address.searchParams.set(name, value);
  }
  changes = {};
  const readable = address.href.replaceAll('%2C', ',');
  history.replaceState(null, '', readable);
  return readable;
}
