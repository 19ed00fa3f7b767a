"""The quick drills as tests: what they promise must hold; how fast it goes is not asserted."""

import pytest

from lib import drill

QUICK = [name for name in drill.names() if getattr(drill.load(name), "QUICK", False)]


@pytest.mark.novm("many processes and a datagram per ms: too much for emulation")
@pytest.mark.parametrize("name", QUICK)
def test_drill(name, engine):
    summary = drill.run(name, engine)
    assert summary["tcp_broken"] == 0 and not summary["unmet"]
    assert summary["engine"] == engine
