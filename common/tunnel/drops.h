/* drops.h - why a tunnel packet is dropped, and what else is counted: one list each for the
 * engines' programs and counters. */
#pragma once

#define TUNNEL_DROPS(X) /* name, what it means */ \
	X(tx_no_tunnel, "packet for nemo0 without a tunnel for its destination") \
	X(tx_loop, "packet already between the tunnel's own end points (RFC 2473 s4.1.2)") \
	X(tx_tenant, \
		"packet from one tenant's network to another's that the policy does not allow") \
	X(tx_no_route, "no route or no neighbour to the tunnel's far end") \
	X(tx_error, "kernel refused to encapsulate") \
	X(tx_encap_limit, "tunnel encapsulation limit option with limit 0 (RFC 2473 s4.1.1)") \
	X(tx_too_big, \
		"packet that does not fit the path to the tunnel's far end; its source was told, " \
		"or nobody could send it in fragments") \
	X(rx_outer_source, "tunnel packet whose outer source is no care-of address or home agent") \
	X(rx_inner_source, "inner source outside the sender's prefixes (RFC 3963 s9)") \
	X(rx_inner_dest, "inner destination is link-local, multicast or not ours") \
	X(rx_tenant, \
		"inner destination belongs to another tenant and the policy does not allow it") \
	X(rx_bad_inner, "inner packet truncated or not IPv6") \
	X(rx_fragment, "fragment of a tunnel packet that nobody puts together here") \
	X(rx_options, "tunnel packet with extension headers that are not handled") \
	X(rx_clear, "tunnel packet without ESP, and payload = \"esp\"") \
	X(tx_clear, "packet for a tunnel without keys, and payload = \"esp\"") \
	X(rx_congestion, "congestion mark on a packet whose transport knows none (RFC 6040 s4.2)")
enum tunnel_drop {
#define X(name, text) TUNNEL_DROP_##name,
	TUNNEL_DROPS(X)
#undef X
		TUNNEL_N_DROPS
};

#define TUNNEL_COUNTS(X) /* name, what it means */ \
	X(tx_fragmented, "packets sent in fragments: the underlay's MTU is below 1320") \
	X(rx_reassembled, "tunnel packets put together from fragments") \
	X(icmp_relayed, \
		"errors sent to the source of what was, or was to be, inside (RFC 2473 s8)") \
	X(icmp_limited, "errors not sent: more than 100 a second, or none may be sent about it") \
	X(icmp_mtu, "Packet Too Big messages that lowered a tunnel's MTU") \
	X(icmp_held, "of these, not yet relayed: a care-of address that nobody answers for may " \
		     "only be " \
		     "on the move") \
	X(icmp_ignored, "errors about tunnel packets that no tunnel of ours can have sent")
enum tunnel_count {
#define X(name, text) TUNNEL_COUNT_##name,
	TUNNEL_COUNTS(X)
#undef X
		TUNNEL_N_COUNTS
};
