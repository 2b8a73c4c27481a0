// What all parts of the page share: its elements, and how it says that something is wrong.

export const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));

/** A problem that the visitor can understand and fix; the page shows the message as it is, `links` [[text, href]] below. */
export class Problem extends Error {
  constructor(message, links = []) {
    super(message);
    this.links = links;
  }
}

export function show(error) {
  if (!(error instanceof Problem)) console.error(error);
  const text = error instanceof Problem ? error.message : `An error occurred: ${error?.message ?? error}. Reload the page.`;
  const links = (error.links ?? []).map(([name, href]) => Object.assign(document.createElement('a'), { textContent: name, href }));
  ui.problem.replaceChildren(text, ...links);
  ui.problem.hidden = false;
  ui.main.ariaBusy = 'false';
}

/** A listener for an event that does `work` and shows what goes wrong. */
export const attempt = (work) => async (event) => {
  try {
    await work(event);
  } catch (error) {
    show(error);
  }
};
