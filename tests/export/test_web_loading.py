"""How the page loads: on this machine, on a slow line, and from what an earlier visit stored."""

from types import SimpleNamespace

import pytest

from tests.export.browser import look


@pytest.fixture(scope="module")
def page(chromium, on_the_page) -> SimpleNamespace:
    """A small generator, so nearly all of it is the runtime: 9.7 MB, which 1.6 Mbit/s carry in 49 seconds."""
    return look("measure.mjs", chromium, on_the_page)


def test_the_first_visit_receives_compressed_files(page):
    assert page.slow["megabytes"] < 3.2 and page.here["megabytes"] < 3.2


def test_the_first_picture_comes_in_time(page):
    assert page.here["seconds"] < 20  # 0.8 on an idle machine
    assert page.slow["seconds"] < 40  # 16 on an idle machine


def test_a_progress_bar_counts_the_bytes_that_are_sent(page):
    done = [float(step.split()[1]) for step in page.slow["steps"]]
    totals = {float(step.split()[3]) for step in page.slow["steps"]}
    assert len(done) > 10 and done == sorted(done)
    assert len(totals) == 1 and done[-1] == totals.pop() < 3.2


def test_a_stored_page_does_not_wait_for_a_silent_server(page):
    assert page.silent["status"] == "30 pictures of seed 0." and page.silent["problem"] == ""
    assert page.silent["seconds"] < 10  # 0.4 on an idle machine
