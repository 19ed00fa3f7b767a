/* drops.h - why a tunnel packet is dropped: one list for the engines' programs and counters. */
#pragma once

#define TUNNEL_DROPS(X) /* name, what it means */ \
	X(tx_no_tunnel, "packet for nemo0 without a tunnel for its destination") \
	X(tx_loop, "packet already between the tunnel's own end points (RFC 2473 s4.1.2)") \
	X(tx_tenant, \
		"packet from one tenant's network to another's that the policy does not allow") \
	X(tx_no_route, "no route or no neighbour to the tunnel's far end") \
	X(tx_error, "kernel refused to encapsulate") \
	X(tx_encap_limit, "tunnel encapsulation limit option with limit 0 (RFC 2473 s4.1.1)") \
	X(rx_outer_source, "tunnel packet whose outer source is no care-of address or home agent") \
	X(rx_inner_source, "inner source outside the sender's prefixes (RFC 3963 s9)") \
	X(rx_inner_dest, \
		"inner destination is the tunnel's end, link-local, multicast or not ours") \
	X(rx_tenant, \
		"inner destination belongs to another tenant and the policy does not allow it") \
	X(rx_bad_inner, "inner packet truncated or not IPv6") \
	X(rx_fragment, "fragmented tunnel packet") \
	X(rx_options, "tunnel packet with extension headers that are not handled")
enum tunnel_drop {
#define X(name, text) TUNNEL_DROP_##name,
	TUNNEL_DROPS(X)
#undef X
		TUNNEL_N_DROPS
};
