/* plan.h - what is to be done with a packet: the result of the translation core. */
#pragma once
#include "nat64/core/conf.h"

/* name, what it means.  One counter each: every early exit of the translation has its own.  An ICMP
 * error to the sender, if there is one, is in the plan. */
#define NAT64_REASONS(X) \
	X(translated_6to4, "IPv6 packets translated to IPv4") \
	X(translated_4to6, "IPv4 packets translated to IPv6") \
	X(hairpinned, "IPv6 packets translated back to IPv6 at once (RFC 7757 s4)") \
	X(slow, "packets left by the eBPF programs to the TUN engine") \
	X(bad_version, "packets of neither IP version, or empty") \
	X(short_header, "packets shorter than their IP header") \
	X(short_packet, "packets shorter than the length in their IP header") \
	X(bad_header4, "IPv4 packets with a wrong header length, total length or header checksum") \
	X(bad_fragment, "fragments that reach beyond octet 65535 of their packet") \
	X(jumbogram, "IPv6 packets without a payload length") \
	X(bad_chain, "IPv6 packets that end within their extension headers") \
	X(long_chain, "IPv6 packets with more extension headers than are looked at") \
	X(fragment_chain, "IPv6 fragments with an extension header behind the fragment header " \
			  "(RFC 7915 s5.1.1)") \
	X(source_route, "IPv4 packets with an unexpired source route (RFC 7915 s4.1)") \
	X(segments_left, "IPv6 packets with segments left in a routing header (RFC 7915 s5.1)") \
	X(illegal_src4, "IPv4 packets from an address that is not to be translated") \
	X(illegal_dst4, "IPv4 packets to an address that is not to be translated") \
	X(illegal_src6, "IPv6 packets from an address that is not to be translated") \
	X(illegal_dst6, "IPv6 packets to an address that is not to be translated") \
	X(non_global, "packets that combine 64:ff9b::/96 with an IPv4 address that is not global " \
		      "(RFC 6052 s3.1)") \
	X(unmapped_src4, "IPv4 packets whose source has no IPv6 address") \
	X(unmapped_dst4, "IPv4 packets whose destination has no IPv6 address") \
	X(unmapped_src6, "IPv6 packets whose source has no IPv4 address") \
	X(unmapped_dst6, "IPv6 packets whose destination has no IPv4 address") \
	X(no_pool4, "ICMPv6 errors from unmapped nodes while there is no pool4 (RFC 6791)") \
	X(no_pool6, "ICMPv4 errors from unmapped nodes while there is no pool6") \
	X(hop_limit, "packets whose TTL or hop limit is used up") \
	X(igmp, "IGMP packets (RFC 7915 s4.2)") \
	X(bad_protocol, \
		"packets of a protocol number that means something else in the other family") \
	X(short_transport, "packets that end before their transport checksum") \
	X(udp_zero, "IPv4 UDP packets without a checksum (RFC 7915 s4.5)") \
	X(udp_zero_fragment, \
		"fragments of IPv4 UDP packets without a checksum, which can't be computed " \
		"(RFC 7915 s4.5)") \
	X(bad_udp_length, "IPv4 UDP packets without a checksum whose length field is wrong") \
	X(too_big, "packets too big for the next link that may not be fragmented") \
	X(too_long, "IPv6 packets longer than IPv4 packets can be") \
	X(icmp_fragment, "fragments of ICMP messages (RFC 7915 s1.2)") \
	X(icmp_type, "ICMP messages of a type or code that the other family doesn't have") \
	X(icmp_pointer, \
		"ICMP parameter problems about a field that the other family doesn't have") \
	X(short_icmp, "ICMP messages without a complete header") \
	X(bad_quote, "ICMP errors that quote no packet, or one cut within its IP header") \
	X(quoted_error, "ICMP errors that quote an ICMP error (RFC 7915 s4.3)") \
	X(quoted_protocol, "ICMP errors about a packet that is never translated") \
	X(quoted_address, "ICMP errors about a packet whose addresses are not mapped") \
	X(no_memory, "packets dropped by the eBPF programs for lack of memory")

enum nat64_reason {
#define X(name, text) NAT64_##name,
	NAT64_REASONS(X)
#undef X
		NAT64_N_REASONS
};

#define NAT64_HDR_MAX 48 /* IPv6 header and fragment header */

struct nat64_plan {
	__u32 why; /* enum nat64_reason: translated_*: apply; hairpinned: apply, then translate the
		    * result back (XLAT_BACK); slow: leave it; else drop */
	__u8 err_type, err_code; /* ICMP error of the input's family to its sender; both 0: none */
	__u8 hdr_size;           /* octets of 'hdr' to put at the packet's head */
	__u8 csum_off;           /* of the transport checksum from the transport header on; 0:
				  * nothing to fix */
	__u32 err_info;          /* its MTU or pointer, host order */
	__u16 cut; /* octets to remove at the packet's head (IPv4: header with options;
		    * IPv6: header and extension headers) */
	__u8 l4_type, set_l4_type; /* ICMP: new first octet of the transport header; its change is
				    * part of the delta */
	__u32 csum_delta;          /* by which the words behind the checksum change: see csum.h */
	__u32 split_unit;          /* payload octets per fragment if it must be split, else 0 */
	__u8 by_src, by_dst;       /* enum nat64_by: how the addresses were mapped */
	__u8 pad[2];
	__u8 hdr[NAT64_HDR_MAX] __attribute__((aligned(4))); /* wire order */
};

enum nat64_by { NAT64_BY_NONE, NAT64_BY_EAM, NAT64_BY_PREFIX, NAT64_BY_POOL };
