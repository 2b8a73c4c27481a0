"""Ends a process that waits for another one that hangs."""

import math
import os
import threading
import time


class Watchdog:
    """Ends this process, within a `with`, if `restart` is not called for `seconds`, counted from its first call.

    It writes one line to stderr; the exit code is 1. TensorFlow could limit each message itself (`timeout_seconds` of
    `CommunicationOptions`), but starts two threads a message for it, which sleep until then; after some 30,000 the
    process may have no more, and is aborted.

    Args:
      seconds: a change counts from the next `restart`.
      message: what to write.
    """

    def __init__(self, seconds: float, message: str):
        self.seconds, self.message = seconds, message

    def __enter__(self) -> "Watchdog":
        self._end, self._left = math.inf, threading.Event()
        threading.Thread(target=self._watch, args=(self._left,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._left.set()

    def restart(self) -> None:
        """Gives the process another `seconds`."""
        self._end = time.monotonic() + self.seconds

    def _watch(self, left: threading.Event) -> None:
        while not left.wait(1.0):
            if time.monotonic() > self._end:
                os.write(2, f"error: {self.message}\n".encode())
                os._exit(1)
