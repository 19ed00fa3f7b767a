"""A router and a service behind it as domains of real libvirtd: conf/libvirt/migrate-tenant moves both
under traffic, and libvirtd calls conf/libvirt/qemu.  Needs `make image`; skipped without libvirt.

    the lab's network, and     hv-a: libvirtd, nemo-mr-t1, t1-web  --mig--  hv-b: libvirtd
"""

import os

import pytest
from lib import ROOT
from lib.topo import Net
from lib.wait import wait_for

from vm import drill, libvirt
from vm import lab as labs

pytestmark = [
    pytest.mark.novm("virtual machines are not nested in emulation"),
    pytest.mark.skipif(
        bool(libvirt.missing()), reason="Debian's libvirt-daemon and libvirt-clients are not installed"
    ),
]
ROUTER, SERVICE = "nemo-mr-t1", "t1-web"
LIBVIRT = os.path.join(ROOT, "conf", "libvirt")


@pytest.fixture(scope="module")
def tenant(tmp_path_factory):
    """The lab with its machines on hv-a, as domains; its .hv are both libvirtd."""
    with Net(labs.wide_area(), str(tmp_path_factory.mktemp("libvirt") / "kept")) as net:
        lab = labs.Lab(net)
        lab.set_rtt(0.2)
        lab.hv = {hv: libvirt.Libvirtd(net, hv, os.path.join(LIBVIRT, "qemu")).start() for hv in labs.SITES}
        lab.hv["hv-a"].define_and_start(lab.service, SERVICE)
        # Without the event that tells a guest of a migration: it needs the hook.
        lab.hv["hv-a"].define_and_start(lab.router, ROUTER, announced=False)
        yield lab.wait_ready()
        for hv in lab.hv.values():
            hv.end_domains()


def move(tenant):
    there = "hv-b" if tenant.at == "hv-a" else "hv-a"
    options = f"--unsafe --migrateuri tcp://[{labs.MIGRATION[there]}]"
    done = tenant.hv[tenant.at].run(
        os.path.join(LIBVIRT, "migrate-tenant"), tenant.hv[there].uri, ROUTER, SERVICE,
        env={"NEMO_OPTIONS": options}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + tenant.hv[there].log()
    tenant.at = there


def told(tenant):
    """How often the router was told to look around."""
    return tenant.router.console().count("mr.hint: eth0: operator")


def test_libvirt_moves_router_and_service_together(tenant):
    traffic = drill.Traffic(tenant, 20000, 2000)
    traffic.wait_flowing(20)
    for moved, there in enumerate(("hv-b", "hv-a"), 1):
        move(tenant)
        wait_for(lambda: told(tenant) >= moved, 30, "the hook tells the router")
        prefix = labs.SITES[there].split("::")[0] + ":"
        wait_for(lambda: (tenant.bound() or "").startswith(prefix), 30, f"registered from {there}")
        assert [ROUTER, "started", "begin", "-"] in tenant.hv[there].hooks()
        traffic.wait_flowing(60)
    broken = drill.breaks(traffic.stop())
    assert not broken, broken
