#!/bin/bash
# The packages under a real systemd, inside a virtual machine where they were just installed: started,
# registered over ESP, looked at, crashed, upgraded, removed, purged.  Run by test_packages.py; says "ok:
# ..." for each step that is done, "FAILED: ..." for one that isn't, and "RESULT pass" at the end.
set -u
exec </dev/null >/dev/ttyS0 2>&1
trap 'systemctl --no-block poweroff' EXIT

fail() { echo "FAILED: $1"; failed=1; }
give_up()
{
	fail "$1"
	systemctl --no-pager --full status 'nemo-*' | tail -60
	journalctl --no-pager -b -o short-monotonic -u 'nemo-*' | tail -60
	exit 1
}
ok() { echo "ok: $1"; }
check() { local what=$1; shift; if "$@"; then ok "$what"; else fail "$what"; fi; }
wait_for() # SECONDS COMMAND...
{
	local end=$((SECONDS + 3 * $1)); shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		read -rt 1 <> <(:) # asking costs more than waiting, on an emulated processor
	done
	return 0 # not what read says, that its time is over
}
state() { systemctl show -P ActiveState "$1"; }
bound() { nemoctl -s "$run/mr.sock" mr status | grep -q '^state *bound'; }

run=/run/nemo
failed=
for u in nemo-ha nemo-mr nemo-nat64; do
	[[ $(systemctl is-enabled $u) == enabled ]] || fail "$u is not enabled"
	[[ $(state $u) == inactive ]] || fail "$u runs without a configuration"
done
[[ $(systemctl is-enabled nemo-metrics) == disabled ]] || fail "metrics are on by default"
check "user nemo" getent passwd nemo
check "no failed unit" test -z "$(systemctl list-units --failed --no-legend --plain)"

# home agent here --- core --- mobile router in a namespace of its own, and a translator in a third
for n in mr xlat; do ip netns add $n; done
ip link add core type veth peer name eth0 netns mr
ip link add x0 type veth peer name eth0 netns xlat
ip netns exec mr ip link add vnet type dummy
for n in mr xlat; do ip -n $n link set lo up; ip -n $n link set eth0 up; done
ip -n mr link set vnet up
ip -n mr addr add 2001:db8:100:1::1/64 dev vnet nodad
ip link set core up
ip link set x0 up
(umask 077; echo "psk blue $(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" >/etc/nemo/keys/blue.keys)
cat >/etc/nemo/nemo-ha.conf <<-END
	address = "2001:db8:1::1"; interfaces = ( "core" ); control_readers = "nemo-metrics";
	home_prefixes = ( "2001:db8:100::/64" ); aggregates = ( "2001:db8:100::/48" );
	routers = ( { name = "blue"; home_address = "2001:db8:100::1"; tenant = "blue";
	  prefixes = ( "2001:db8:100:1::/64" ); keys = "blue.keys"; } );
END
cat >/etc/nemo/nemo-mr.conf <<-END
	name = "blue"; home_address = "2001:db8:100::1"; home_agents = ( "2001:db8:1::1" );
	uplinks = ( { interface = "eth0"; } ); control_readers = "nemo-metrics";
	networks = ( { prefix = "2001:db8:100:1::/64"; interface = "vnet"; } ); keys = "blue.keys";
END
cat >/etc/nemo/nemo-nat64.conf <<-END
	interfaces = ( "eth0" ); prefixes = ( { prefix = "2001:db8:64::/96"; } );
	mappings = ( { ipv4 = "192.0.2.9"; ipv6 = "2001:db8:100:1::80"; } );
END
for n in mr:nemo-mr xlat:nemo-nat64; do
	mkdir -p "/run/systemd/system/${n#*:}.service.d"
	printf '[Service]\nNetworkNamespacePath=/run/netns/%s\n' "${n%:*}" >"/run/systemd/system/${n#*:}.service.d/ns.conf"
done
systemctl daemon-reload
mkdir -p /run/systemd/network
cat >/run/systemd/network/core.network <<-END
	[Match]
	Name=core
	[Network]
	Address=2001:db8:1::1/64
	IPv6SendRA=yes
	IPv6AcceptRA=no
	[IPv6Prefix]
	Prefix=2001:db8:1::/64
END
systemctl restart systemd-networkd
for u in nemo-ha nemo-mr nemo-nat64; do
	systemctl start $u || give_up "$u does not start"
	[[ $(stat -c %U "/proc/$(systemctl show -P MainPID $u)") == nemo ]] || fail "$u does not run as nemo"
	ok "$u started as user nemo"
done
wait_for 60 bound || give_up "the router does not register"
ok "registered, with keys from systemd's credentials"
nemoctl ha bindings | grep -q blue || fail "no binding at the home agent"
caps=$(sed -n 's/^CapEff:\s*0*//p' "/proc/$(systemctl show -P MainPID nemo-ha)/status")
[[ $caps == 3000 ]] || fail "nemo-ha kept capabilities $caps"
nemoctl nat64 status | grep -q '^engine *ebpf' || fail "the translator has no programs in the kernel"
ok "the translator runs with its programs"
check "journal has the router" test -n "$(journalctl -o cat NEMO_EVENT=binding.accepted NEMO_ROUTER=blue)"
check "journal has the care-of address" \
	grep -q '"NEMO_CARE_OF":"2001:db8:1:' <(journalctl -o json NEMO_EVENT=binding.accepted)

systemctl start nemo-metrics || give_up "nemo-metrics does not start"
exec 3<>/dev/tcp/::1/9639 || give_up "nothing listens at port 9639"
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
got=$(cat <&3)
[[ $got == *'nemo_ha_router_bound{daemon="nemo-ha",name="ha",router="blue",tenant="blue"} 1'* ]] || fail "metrics: $got"
ok "metrics by HTTP from a user that may only look"

pid=$(systemctl show -P MainPID nemo-ha)
check "watchdog" grep -q 30s <(systemctl show -P WatchdogUSec nemo-ha)
kill -KILL "$pid"
restarted()
{
	local now
	now=$(systemctl show -P MainPID nemo-ha)
	[[ $now != 0 && $now != "$pid" && $(state nemo-ha) == active ]]
}
wait_for 90 restarted ||
	fail "nemo-ha is not restarted: $(state nemo-ha), process $(systemctl show -P MainPID nemo-ha), was $pid"
wait_for 60 eval 'nemoctl ha bindings | grep -q "blue.*bound"' || fail "no binding after a crash"
ok "killed, restarted, bound again"

device() { ip -n xlat -o link show nat64 | cut -d: -f1; }
held() { [[ $(systemctl show -P NFileDescriptorStore nemo-nat64) == 3 ]]; }
wait_for 60 held || fail "systemd does not hold the translator's device, program and counters"
before=$(device)
pid=$(systemctl show -P MainPID nemo-nat64)
kill -KILL "$pid"
again() { [[ $(systemctl show -P MainPID nemo-nat64) != @(0|"$pid") && $(state nemo-nat64) == active ]]; }
wait_for 60 again || fail "nemo-nat64 is not restarted"
[[ -n $before && $(device) == "$before" ]] || fail "a crash took the translator's device: $before, $(device)"
systemctl restart nemo-nat64
[[ $(device) == "$before" ]] || fail "a restart took the translator's device: $before, $(device)"
ok "killed and restarted, the translator has kept its device"

since=$(nemoctl --json ha bindings | grep -o '"registered_s": *[0-9]*')
check "upgrade" dpkg -i /root/debs/*.deb
wait_for 60 eval '[[ $(state nemo-ha) == active && $(state nemo-mr) == active ]] && bound' ||
	fail "not bound after an upgrade"
[[ $(device) == "$before" ]] || fail "the upgrade took the translator's device: $before, $(device)"
now=$(nemoctl --json ha bindings | grep -o '"registered_s": *[0-9]*')
[[ $since ]] && ((${now##*:} >= ${since##*:})) || fail "the upgrade lost the binding: $since, $now"
[[ -e /etc/nemo/nemo-ha.conf && -e /etc/nemo/keys/blue.keys ]] || fail "the upgrade took the configuration"
ok "bound after the upgrade"

check "remove" dpkg -r nemo-ha nemo-mr nemo-nat64 nemoctl
grep -qs ^nemo /proc/[0-9]*/comm && fail "daemons live on"
[[ -z $(ip -6 route show proto 139) ]] || fail "routes are left: $(ip -6 route show proto 139)"
[[ -e /etc/nemo/nemo-ha.conf ]] || fail "the removal took the configuration"
check "purge" dpkg -P nemo-ha nemo-mr nemo-nat64 nemoctl
[[ ! -e /var/lib/nemo ]] || fail "left in /var/lib/nemo: $(ls /var/lib/nemo)"
check "no failed unit at the end" test -z "$(systemctl list-units --failed --no-legend --plain)"
[[ $failed ]] || echo "RESULT pass"
