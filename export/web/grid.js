// The grid of pictures of a seed.

import { PICTURES } from './address.js';
import { paint } from './generator.js';
import { attempt, ui } from './page.js';

export class Grid {
  /** `choose` is called with the index of the picture that the visitor chooses. */
  constructor(generator, noun, choose) {
    Object.assign(this, { generator, noun });
    this.draws = 0; // counted, so that a newer one stops the older ones
    this.cells = Array.from({ length: PICTURES }, (_, index) => {
      const cell = document.createElement('button');
      cell.type = 'button';
      cell.tabIndex = index === 0 ? 0 : -1; // one stop for Tab; the arrows move inside
      cell.append(document.createElement('canvas'));
      cell.addEventListener('click', attempt(() => choose(index)));
      return cell;
    });
    ui.grid.append(...this.cells);
    ui.grid.addEventListener('keydown', (event) => this.moveFocus(event));
  }

  moveFocus(event) {
    const columns = getComputedStyle(ui.grid).gridTemplateColumns.split(' ').length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const from = this.cells.indexOf(document.activeElement);
    const to = { Home: 0, End: PICTURES - 1 }[event.key] ?? from + steps[event.key];
    if (from < 0 || !this.cells[to]) return;
    event.preventDefault();
    this.cells[from].tabIndex = -1;
    this.cells[to].tabIndex = 0;
    this.cells[to].focus();
  }

  /** Draws the pictures of a seed; `labels` are their classes, if there are any. False: a newer call took over. */
  async draw(seed, labels) {
    const mine = ++this.draws;
    this.labels = labels;
    let rested = performance.now();
    for (const [index, cell] of this.cells.entries()) {
      const picture = await this.generator.sample(seed, index, labels[index]);
      if (mine !== this.draws) return false;
      paint(cell.firstChild, [picture], this.generator);
      if (performance.now() - rested > 30) { // lets the page answer, and show what is drawn so far
        await new Promise((resolve) => setTimeout(resolve));
        rested = performance.now();
      }
    }
    return mine === this.draws;
  }

  /** Marks the two pictures between which the morph walks. */
  mark(pair) {
    for (const [index, cell] of this.cells.entries()) {
      const end = 'AB'[pair.indexOf(index)];
      cell.toggleAttribute('data-end', Boolean(end));
      if (end) cell.dataset.end = end;
      cell.ariaPressed = String(Boolean(end));
      const name = this.generator.classes ? `, class ${this.generator.classes.names[this.labels[index]]}` : '';
      cell.ariaLabel = `${this.noun} ${index + 1}${name}${end ? `, end ${end} of the morph` : ''}`;
    }
  }
}
