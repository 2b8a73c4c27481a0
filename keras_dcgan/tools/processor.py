"""What the processor can do."""

import functools
import re
from pathlib import Path


@functools.cache
def features() -> frozenset[str]:
    """What the processor has, by Linux's names, such as "avx2" and "avx512_bf16"; empty on other systems.

    Examples:
      >>> "no_such_feature" in features()
      False
    """
    try:
        listed = re.search(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        listed = None
    return frozenset(listed[1].split() if listed else ())
