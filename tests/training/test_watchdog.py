import pytest

from tests.conftest import run_python

PROGRAM = """
import time
from keras_dcgan.training.watchdog import Watchdog
with Watchdog({seconds}, "no step") as watchdog:
    time.sleep({before})
    watchdog.restart()
    time.sleep({within})
time.sleep(2)
"""


@pytest.mark.parametrize(
    "seconds, before, within, expected",
    [
        (0.1, 0, 10, (1, "error: no step\n")),
        (60, 0, 2, (0, "")),
        (0.1, 2, 0, (0, "")),  # only the time within it counts, and after the first restart
    ],
)
def test_a_process_ends_that_does_not_restart_its_watchdog_in_time(seconds, before, within, expected):
    done = run_python("-c", PROGRAM.format(seconds=seconds, before=before, within=within))
    assert (done.returncode, done.stderr) == expected
