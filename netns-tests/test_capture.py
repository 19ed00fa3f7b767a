"""What of the traffic is taken for signalling, by either way to capture it.  The topology and its names
are lib/engine.py's."""

import pytest
from scapy.layers.inet6 import (
    HAO, MIP6MH_BA, MIP6MH_BU, ICMPv6EchoReply, ICMPv6HAADReply, ICMPv6HAADRequest, ICMPv6MPAdv,
    ICMPv6MPSol, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import ESP
from scapy.packet import Raw

from lib.engine import (
    BOX, BOX_LAN, CLIENT, COA, FAR, HA_PUT, HOA, TOPOLOGY, Box, has, inner, payload, tunnel,
)


@pytest.fixture(params=["bpf", "packet"])
def sig(request, make_net):
    """A box that captures what comes for its address, with the tunnel's program beside it."""
    box = Box(make_net(TOPOLOGY), "ebpf", "-s", request.param)
    box.engine.do(f"local {BOX}", f"local {BOX}")
    return box


HAO_OPTION = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOA)])
TO_BOX = IPv6(src=COA, dst=BOX)
SIGNALLING = {
    "BU with home address option": TO_BOX / HAO_OPTION / MIP6MH_BU(seq=7),
    "BU alone": TO_BOX / MIP6MH_BU(seq=7),
    "BA with routing header": TO_BOX
    / IPv6ExtHdrRouting(type=2, addresses=[HOA], segleft=1)
    / MIP6MH_BA(),
    "behind hop-by-hop padding": TO_BOX
    / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
    / MIP6MH_BU(seq=7),
    "ESP with home address option": TO_BOX / HAO_OPTION / ESP(spi=256, seq=1, data=b"s" * 40),
    "ESP with routing header": TO_BOX
    / IPv6ExtHdrRouting(type=2, addresses=[HOA], segleft=1, nh=50)
    / ESP(spi=256, seq=1, data=b"s" * 40),
    "home agent discovery request": TO_BOX / ICMPv6HAADRequest(id=1),
    "home agent discovery reply": TO_BOX / ICMPv6HAADReply(id=1, addresses=[FAR]),
    "prefix solicitation": TO_BOX / HAO_OPTION / ICMPv6MPSol(id=1),
    "prefix advertisement": TO_BOX
    / IPv6ExtHdrRouting(type=2, addresses=[HOA], segleft=1)
    / ICMPv6MPAdv(id=1),
}
NOT_OURS = {
    "to another address": (IPv6(src=COA, dst=CLIENT) / HAO_OPTION / MIP6MH_BU(seq=7), True),
    "ESP alone": (TO_BOX / ESP(spi=256, seq=1, data=b"s" * 40), False),
    "UDP": (TO_BOX / payload("x"), False),
    "ICMPv6 of another type": (TO_BOX / ICMPv6EchoReply(id=1), False),
    "discovery on its way elsewhere": (IPv6(src=COA, dst=CLIENT) / ICMPv6HAADRequest(id=1), True),
    "fragment": (TO_BOX / IPv6ExtHdrFragment(nh=135, m=1, id=9) / Raw(bytes(8)), False),
}
MARK = TO_BOX / MIP6MH_BU(seq=4711)


def test_captured(sig):
    """The daemon gets the whole packet, and the kernel answers none."""
    for what, packet in SIGNALLING.items():
        sig.right.send(packet)
        assert bytes.fromhex(sig.engine.read()["sig"]) == bytes(packet), what
    assert sig.engine.do("sigcounters") == {
        "rc": 0, "rx": len(SIGNALLING), "lost": 0, "tx": 0, "tx_errors": 0
    }
    sig.net["box"].run(["ping", "-c1", FAR])  # what comes after all answers
    first = sig.right.receive(lambda p: p.nh == 58 and bytes(p.payload)[0] in (1, 4, 128))
    assert first.payload.type == 128


def test_not_captured(sig):
    for what, (packet, forwarded) in NOT_OURS.items():
        sig.right.send(packet, MARK)
        assert bytes.fromhex(sig.engine.read()["sig"]) == bytes(MARK), what
        if forwarded:
            packet = packet.copy()
            packet.hlim -= 1
            assert sig.left.receive(lambda p: bytes(p) == bytes(packet)), what


ROUTING_HEADER = IPv6ExtHdrRouting(type=2, addresses=[HOA], segleft=1)


@pytest.mark.parametrize("bit, header, other", [
    (1, HAO_OPTION, ROUTING_HEADER), (2, ROUTING_HEADER, HAO_OPTION),
])


def test_captured_with_anything_behind(sig, bit, header, other):
    """Home agents take a Home Address option before data, mobile routers a type 2 routing header;
    pieces of data too.  Signalling in pieces, and the other header, stay the kernel's."""
    sig.engine.do(f"take {bit}")
    pieces = IPv6ExtHdrFragment(nh=17, m=1, id=9) / Raw(bytes(8))
    for packet in TO_BOX / header / payload("x"), TO_BOX / header / pieces:
        sig.right.send(packet)
        assert bytes.fromhex(sig.engine.read()["sig"]) == bytes(packet)
    sig.net["box"].run(["ping", "-c1", FAR])
    first = sig.right.receive(lambda p: p.nh == 58 and bytes(p.payload)[0] in (1, 4, 128))
    assert first.payload.type == 128, "the kernel answered none of these"
    update = IPv6ExtHdrFragment(nh=135, m=1, id=9) / Raw(bytes(8))
    for packet in TO_BOX / header / update, TO_BOX / other / payload("x"), TO_BOX / payload("x"):
        sig.right.send(packet, MARK)
        assert bytes.fromhex(sig.engine.read()["sig"]) == bytes(MARK)


def test_only_for_local_addresses(sig):
    """An address that is no longer ours is the kernel's again."""
    sig.engine.do(f"local {BOX_LAN}", f"unlocal {BOX}", f"unlocal {BOX}")
    other = IPv6(src=COA, dst=BOX_LAN) / MIP6MH_BU(seq=9)
    sig.right.send(MARK, other)
    assert bytes.fromhex(sig.engine.read()["sig"]) == bytes(other)


def test_send(sig):
    """A complete packet leaves as it is, from an address that is still optimistic, too."""
    packet = IPv6(src=BOX, dst=FAR, hlim=64) / MIP6MH_BA()
    sig.engine.do(f"send {bytes(packet).hex()} wan", f"send {bytes(packet).hex()}")
    for _ in range(2):
        assert bytes(sig.right.receive(lambda p: p.nh == 135)) == bytes(packet)
    box = sig.net["box"]
    box.sysctl(**{
        "net.ipv6.conf.wan.optimistic_dad": 1, "net.ipv6.conf.wan.use_optimistic": 1,
        "net.ipv6.conf.wan.accept_dad": 1, "net.ipv6.conf.wan.dad_transmits": 100,
    })
    box.batch(["addr add 2001:db8:f::77/64 dev wan optimistic"])
    assert "optimistic" in box.out("ip -6 addr show dev wan")
    packet.src = "2001:db8:f::77"
    sig.engine.do(f"send {bytes(packet).hex()} wan")
    assert bytes(sig.right.receive(lambda p: p.nh == 135)) == bytes(packet)


def test_capture_ends(sig):
    """After close the kernel treats signalling as it always did."""
    sig.engine.do("close")
    box = sig.net["box"]
    assert "sig_capture" not in box.out("tc filter show dev wan ingress")
    assert "nemo_sig" not in box.run("nft list tables", check=False).stdout


def test_tunnel_packets_pass_the_capture(sig):
    """Both work on one interface."""
    sig.engine.do(HA_PUT)
    sig.right.send(tunnel(inner(text="payload")), MARK)
    assert sig.left.receive(has("payload"))
    assert bytes.fromhex(sig.engine.read()["sig"]) == bytes(MARK)
