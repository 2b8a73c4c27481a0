"""A progress bar for long work outside of training: one line on a terminal, a line every ten seconds in a log file."""

import sys
import time

from absl import logging

LOG_SECONDS = 10.0


class Progress:
    """Tells how far some work is; call `add` as items are done.

    Args:
      title: what is being done, such as "Looking at photos".
      total: how many items there are.
    """

    def __init__(self, title: str, total: int):
        self.title, self.total, self.done = title, total, 0
        self._on_terminal = sys.stdout.isatty()
        self._start = self._shown = time.monotonic()

    def add(self, count: int) -> None:
        """Tells that `count` more items are done."""
        self.done += count
        now, finished = time.monotonic(), self.done >= self.total
        if not finished and now - self._shown < (0.1 if self._on_terminal else LOG_SECONDS):
            return
        rate = self.done / max(now - self._start, 1e-9)
        left = f", {(self.total - self.done) / max(rate, 1e-9):.0f} s left" if not finished else ""
        line = f"{self.title}: {self.done:,} of {self.total:,} ({rate:,.0f} a second{left})"
        if self._on_terminal:
            print(f"\r{line:<79}", end="\n" if finished else "", flush=True)
        elif now - self._start >= LOG_SECONDS:  # short work needs no lines
            logging.info("%s", line)
        self._shown = now
