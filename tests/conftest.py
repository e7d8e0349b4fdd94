"""What every test run has in common: fixed seeds, the soak switch, and the account of requirements and golden tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("CI", "").lower() == "true"

# "fixed" draws the same cases every time, so that a red build is about its own commit; "fresh" looks for new ones.
_COMMON = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", parent=_COMMON, derandomize=True, database=None)
settings.register_profile("fresh", parent=_COMMON)
settings.load_profile("fixed")


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the tests marked soak too")


def pytest_configure(config):
    # A shell has what it runs in the background ignore Ctrl-C; programs that tests start, and interrupt, would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Account())


def pytest_itemcollected(item):
    """Keep tests with real engines on one worker; note marks for the account."""
    # Here and not in pytest_collection_modifyitems: xdist reads the groups in its own, which may come first.
    if item.get_closest_marker("network") and not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group("network"))
    if item.get_closest_marker("golden"):
        item.user_properties.append(("account", "golden"))
    for mark in item.iter_markers("req"):
        item.user_properties.extend(("account", requirement) for requirement in mark.args)


def pytest_collection_modifyitems(config, items):
    """Leave soak tests out unless asked."""
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak and not config.getoption("--soak"):
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if item not in soak]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With CI=true a golden test that skips has failed: nobody would notice that it compares nothing."""
    report = yield
    if IN_CI and report.skipped and item.get_closest_marker("golden"):
        report.outcome = "failed"
        report.longrepr = f"a golden test may not skip with CI=true: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """With CI=true a whole module may not skip either: it could hold golden tests, and hides how many."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"a test module may not skip with CI=true: {report.longrepr}"
    return report


class Account:
    """Adds up results. Under xdist it works where the terminal is, from the reports of all workers."""

    def __init__(self):
        self.held = {}  # requirement id or "golden" -> test id -> whether it passed

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            held = report.passed and not hasattr(report, "wasxfail")
            for kind, name in report.user_properties:
                if kind == "account":
                    before = self.held.setdefault(name, {})
                    before[report.nodeid] = before.get(report.nodeid, True) and held

    def pytest_terminal_summary(self, terminalreporter):
        """Print how many golden tests ran, and the requirements whose marked tests all ran and passed."""
        golden = self.held.pop("golden", {}).values()
        shown = sorted(name for name, tests in self.held.items() if all(tests.values()))
        missing = sorted(set(self.held) - set(shown))
        terminalreporter.section("requirements")
        terminalreporter.line(f"golden tests that ran and passed: {sum(golden)} of {len(golden)}")
        terminalreporter.line(f"requirements whose marked tests ran and passed ({len(shown)}): {' '.join(shown)}")
        if missing:
            terminalreporter.line(f"marked, but a test failed or was skipped ({len(missing)}): {' '.join(missing)}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long values say nothing in a test's name, and keys made anew in each worker would give each other names."""
    if isinstance(val, str | bytes) and len(val) > 40:
        return argname
    return None
