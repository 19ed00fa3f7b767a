"""Certificates for the key exchange, made with the commands of doc/SECURITY.md.

    mr:eth0 (radvd at ha) -------- ha:eth0      the pair of lib/sealed.py
"""

import os
import re
import socket
import ssl
import struct
import subprocess

import pytest

from lib import ROOT
from lib.daemon import BUILD, Daemon, libconfig_file
from lib.mipv6 import socket_in
from lib.sealed import HOA, HOA2, NET, PAIR, PSK, counters, key_file, packed
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("TLS and its files decide, whatever the kernel")

EC = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


def commands():
    """The two blocks of commands in the chapter: a CA with its certificates; revoking one."""
    with open(os.path.join(ROOT, "doc", "SECURITY.md")) as f:
        chapter = f.read().split("\n## Certificates\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .+\n)+", chapter, re.M)
    assert len(blocks) == 2
    return blocks


def sh(directory, script):
    subprocess.run(["sh", "-ec", script], cwd=directory, check=True, capture_output=True, timeout=patient(120))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """ca, ha, mr1 and crl by the document; besides some certificates that are no good."""
    at = tmp_path_factory.mktemp("certs")
    sh(at, commands()[0])
    sign = "openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy"
    sh(at, f"""
        openssl req {EC} -subj '/CN=router 9' -addext subjectAltName=DNS:mr9.example.org -keyout mr9.key -out mr9.csr
        {sign} -in mr9.csr -days 365 -out mr9.pem
        openssl req {EC} -subj '/CN=router 1' -addext subjectAltName=DNS:mr1.example.org -keyout old.key -out old.csr
        {sign} -in old.csr -days -1 -out old.pem
        openssl req {EC} -subj /CN=mr1.example.org -keyout cn.key -out cn.csr
        {sign} -in cn.csr -days 365 -out cn.pem
        openssl req {EC} -subj /CN=mr1.example.org -addext subjectAltName=URI:nemo:mr7 -keyout uri.key -out uri.csr
        {sign} -in uri.csr -days 365 -out uri.pem
        openssl req -x509 {EC} -days 9 -subj '/CN=NEMO CA' -keyout bad-ca.key -out bad-ca.pem
        openssl x509 -req -in mr1.csr -CA bad-ca.pem -CAkey bad-ca.key -CAcreateserial -copy_extensions copy -days 9 -out forged.pem
        cp mr1.key forged.key
        chmod 600 *.key
    """)
    return at


@pytest.fixture(scope="module")
def chain(made):
    """A CA below the CA: via.pem is a router's certificate by it, with its own; both CAs' lists."""
    made.joinpath("ext").write_text("basicConstraints=critical,CA:TRUE\n")
    sh(made, f"""
        openssl req {EC} -subj '/CN=NEMO branch' -keyout sub.key -out sub.csr
        openssl x509 -req -in sub.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 365 -out sub.pem
        openssl req {EC} -subj '/CN=router 1' -addext subjectAltName=DNS:mr1.example.org -keyout via.key -out via.csr
        openssl x509 -req -in via.csr -CA sub.pem -CAkey sub.key -CAcreateserial -copy_extensions copy -days 365 -out leaf.pem
        cat leaf.pem sub.pem > via.pem
        chmod 600 *.key
        sed s/index.txt/sub.txt/ ca.cnf > sub.cnf
        touch sub.txt
        openssl ca -config sub.cnf -keyfile sub.key -cert sub.pem -gencrl -out sub.crl
        cat crl.pem sub.crl > both.crl
        cp index.txt revoked.txt
        sed s/index.txt/revoked.txt/ ca.cnf > revoked.cnf
        openssl ca -config revoked.cnf -keyfile ca.key -cert ca.pem -revoke sub.pem
        openssl ca -config revoked.cnf -keyfile ca.key -cert ca.pem -gencrl -out revoked.crl
        cat sub.crl >> revoked.crl
    """)
    return made


def renew_list(made):
    """Nobody is revoked."""
    sh(made, "rm -f index.txt*; touch index.txt; "
             "openssl ca -config ca.cnf -keyfile ca.key -cert ca.pem -gencrl -out crl.pem")


def files(made, name, ca="ca", **more):
    return {"certificate": str(made / f"{name}.pem"), "certificate_key": str(made / f"{name}.key"),
            "ca": str(made / f"{ca}.pem"), **more}


class Pair:
    def __init__(self, net, made, mr="mr1", identity="mr1.example.org", mr_more=None, ha="ha", **ha_more):
        keys = key_file(net, "psk.keys", f"psk green {PSK.hex()}")
        common = {"protection": "esp", "engine": "auto"}
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": "2001:db8:a::1", "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            **common, **files(made, ha), **ha_more,
            "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                         "identity": identity},
                        {"name": "MR-2", "home_address": HOA2, "tenant": "red", "keys": keys}]}).start()
        self.mr = Daemon(net, "mr", "nemo-mr", {
            "name": "mr1", "home_address": HOA, "home_agents": ["2001:db8:a::1"],
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
            **common, **(files(made, mr) if mr else {"keys": keys}), **(mr_more or {})}).start()

    def refused(self, who, words, counter="key_failed"):
        daemon = {"ha": self.ha, "mr": self.mr}[who]
        wait_for(lambda: re.search(f"keys: exchange with .* has failed: .*{words}", daemon.log()), 15,
                 lambda: f"{words!r} in " + daemon.log())
        assert counters(daemon)[counter] >= 1
        assert counters(self.ha)["key_ok"] == 0 and self.ha.ask("bindings") == []


def test_keys_by_certificates_as_the_document_says(make_net, made):
    """They register, with a revocation list; then the router is revoked, and the list read again."""
    net = make_net(PAIR)
    crl = os.path.join(net.dir, "crl.pem")
    sh(made, f"cp crl.pem {crl}")
    pair = Pair(net, made, crl=crl, mr_more={"lifetime": 8, "crl": crl})
    pair.mr.wait_bound()
    assert counters(pair.ha)["key_ok"] == 1
    sh(made, commands()[1] + f"cp crl.pem {crl}.new; mv {crl}.new {crl}")
    pair.mr.restart()
    wait_for(lambda: "certificate revoked" in pair.ha.log(), 20, pair.ha.log)
    assert "certificates: read again" in pair.ha.log()
    assert counters(pair.ha)["key_ok"] == 1 and counters(pair.ha)["key_failed"] >= 1
    renew_list(made)


@pytest.mark.parametrize("name, identity", [("cn", "mr1.example.org"), ("uri", "nemo:mr7"),
                                            ("mr1", "MR1.Example.ORG")])
def test_what_an_identity_is(make_net, made, name, identity):
    """Common name if there is no other; URI; DNS names without regard to case."""
    Pair(make_net(PAIR), made, mr=name, identity=identity).mr.wait_bound()


@pytest.mark.parametrize("how, who, words, counter", [
    ({"mr": "mr9"}, "ha", "CN = ?router 9: is no router's identity", "key_identity"),
    ({"mr": "uri"}, "ha", "is no router's identity", "key_identity"),  # its common name is no identity
    ({"mr": "old"}, "ha", "CN = ?router 1: certificate has expired", "key_failed"),
    ({"mr": "forged"}, "ha", "(unable to get local issuer certificate|certificate signature failure)", "key_failed"),
    ({"ha": "mr9"}, "mr", "is not for the home agent's address", "key_identity"),
    ({"mr_more": {"home_agent_identity": "ha.example.org"}}, "mr", "has not home_agent_identity", "key_identity"),
    ({"ha": "old"}, "mr", "certificate has expired", "key_failed"),
    ({"mr": None}, "ha", "the identity is not this home address's", "key_home_address"),
])
def test_who_gets_no_keys(make_net, made, how, who, words, counter):
    """And both logs say why.  The last one has a good psk line, of another home address."""
    pair = Pair(make_net(PAIR), made, **how)
    pair.refused(who, words.replace("CN = ?", "/CN="), counter)
    own = pair.mr if how.get("mr") == "old" else pair.ha if how.get("ha") == "old" else None
    if own:
        assert "old.pem has expired" in own.log(), "told at its own end, too"


def test_a_ca_below_the_ca(make_net, chain):
    """With a list of each of them."""
    Pair(make_net(PAIR), chain, mr="via", crl=str(chain / "both.crl")).mr.wait_bound()


@pytest.mark.parametrize("crl, words", [("crl.pem", "unable to get certificate CRL"),
                                        ("revoked.crl", "certificate revoked")])
def test_each_certificate_of_a_chain_is_looked_up(make_net, chain, crl, words):
    """No list of the lower CA; the lower CA itself is revoked, its routers are not."""
    Pair(make_net(PAIR), chain, mr="via", crl=str(chain / crl)).refused("ha", words)


def for_anybody(net, made, **names):
    """Copies that every user can read, but for keys: these are root's.  files() of the copies."""
    out = {}
    for key, name in names.items():
        out[key] = os.path.join(net.dir, name)
        sh(made, f"cp {name} {out[key]}; chmod {600 if key == 'certificate_key' else 644} {out[key]}")
    return out


@pytest.mark.novm("files, whatever the kernel")
def test_a_new_list_is_read_though_the_key_is_not_readable_any_more(make_net, made):
    """The daemon is another user after its start, and the key root's.  Another certificate is of another
    key, which it can't read: told, and the one before stays in use."""
    net = make_net(PAIR)
    own = for_anybody(net, made, certificate="ha.pem", certificate_key="ha.key", ca="ca.pem", crl="crl.pem")
    pair = Pair(net, made, user="nobody", mr_more={"lifetime": 8}, **own)
    pair.mr.wait_bound()
    sh(made, f"cp mr9.pem {own['certificate']}.new; mv {own['certificate']}.new {own['certificate']}")
    pair.mr.restart()
    pair.mr.wait_bound()
    assert re.search("certificates: .*ha.key: Permission denied: those read before stay in use", pair.ha.log())
    assert "read again" not in pair.ha.log()
    sh(made, f"cp ha.pem {own['certificate']}; " + commands()[1] + f"cp crl.pem {own['crl']}.new; mv {own['crl']}.new {own['crl']}")
    pair.mr.restart()
    wait_for(lambda: "certificate revoked" in pair.ha.log(), 20, pair.ha.log)
    assert "certificates: read again" in pair.ha.log()
    renew_list(made)


def test_a_home_address_belongs_to_one_identity(make_net, made):
    """A good certificate, of MR-1, and the home address of MR-2."""
    pair = Pair(make_net(PAIR), made, mr_more={"home_address": HOA2})
    pair.refused("ha", "the identity is not this home address's", "key_home_address")


def hello(version=1, spi=4096, hoa=HOA):
    """What follows the handshake (common/os/keying.h)."""
    return struct.pack("!BxxxI", version, spi) + packed(hoa)


BAD_HELLOS = {
    "another version": (hello(version=2), "key_failed"),
    "SPI 0": (hello(spi=0), "key_failed"),
    "an SPI that is reserved": (hello(spi=255), "key_failed"),
    "an SPI of the kernel's": (hello(spi=0x80000100), "key_failed"),
    "another router's home address": (hello(hoa=HOA2), "key_home_address"),
    "nobody's home address": (hello(hoa="::"), "key_home_address"),
    "a part of it": (hello()[:23], "key_failed"),
    "nothing": (b"", "key_failed"),
    "noise": (bytes(range(7, 7 + 24)), "key_failed"),
}


def test_a_router_that_says_something_else_gets_no_keys(make_net, made):
    """With a good certificate; and what comes after a good hello is not looked at."""
    net = make_net(PAIR)
    pair = Pair(net, made)
    pair.mr.wait_bound()
    pair.mr.stop()
    net["mr"].batch(["addr add 2001:db8:a::9/64 dev eth0 nodad"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.load_verify_locations(made / "ca.pem")
    tls.load_cert_chain(made / "mr1.pem", made / "mr1.key")

    def answer(octets):
        with socket_in(net["mr"], socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.settimeout(patient(5))
            s.connect(("2001:db8:a::1", 7439))
            with tls.wrap_socket(s) as t:
                if octets:
                    t.sendall(octets)
                t.unwrap() if len(octets) < 24 else None
                return t.read(4096)

    for name, (octets, counter) in BAD_HELLOS.items():
        before = counters(pair.ha)
        try:
            assert answer(octets) == b"", name
        except (OSError, ValueError):
            pass
        wait_for(lambda: counters(pair.ha)[counter] == before[counter] + 1, 7, f"{name} is counted")
        assert counters(pair.ha)["key_ok"] == before["key_ok"], name
    ok = counters(pair.ha)["key_ok"]
    assert len(answer(hello() + b"and more" * 99)) == 24
    assert counters(pair.ha)["key_ok"] == ok + 1


def test_psk_and_certificates_at_one_home_agent(make_net, made):
    net = make_net(PAIR)
    Pair(net, made, mr=None, mr_more={"home_address": HOA2, "mode": "implicit"}).mr.wait_status(
        lambda s: s["last_status"] is not None, "an answer", 20)


@pytest.mark.parametrize("wrong, words", [
    ({"certificate_key": ""}, "certificate_key: is missing"),
    ({"ca": ""}, "ca: is missing"),
    ({"certificate": ""}, "certificate: is missing"),
    ({"certificate": "@/nothing.pem"}, "nothing.pem: "),
    ({"certificate_key": "@/mr9.key"}, "mr9.key: is not the key of this certificate"),
    ({"certificate_key": "@/open.key"}, "open.key: others can get at it (mode 0644); chmod 600 it"),
    ({"certificate_key": "@/mr1.pem"}, "no private key in it"),
    ({"crl": "@/ca.cnf"}, "ca.cnf: "),
])
def test_files_that_don_t_fit_together_are_refused(made, tmp_path, wrong, words):
    (made / "open.key").write_bytes((made / "mr1.key").read_bytes())
    (made / "open.key").chmod(0o644)
    (made / "mr1.pem").chmod(0o600)
    conf = {"name": "mr1", "home_address": HOA, "home_agents": ["2001:db8:a::1"],
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
            **files(made, "mr1"), **{k: v.replace("@", str(made)) for k, v in wrong.items()}}
    path = tmp_path / "nemo.conf"
    path.write_text(libconfig_file(conf))
    done = subprocess.run([os.path.join(BUILD, "nemo-mr"), "-t", "-c", str(path)],
                          capture_output=True, text=True, timeout=patient(10))
    assert done.returncode == 1 and words in done.stderr, done.stderr
