/* sig.h - signalling capture and sending: takes Mobility Header packets and ICMPv6 messages of
 * types 144 to 147 (whatever HAO, RH2 or ESP stands before them) off the wire before the kernel's
 * IPv6 input, which would answer them with an error without CONFIG_IPV6_MIP6 and want XFRM states
 * with it, and sends complete packets through a raw socket.  I/O only: nothing is parsed here
 * beyond finding out that it is signalling. */
#pragma once
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct sig;

/* A whole IPv6 packet as received on interface 'ifindex'; 'pkt' is borrowed during the call. */
typedef void sig_rx_fn(void *arg, const void *pkt, size_t size, unsigned ifindex);

enum sig_mode {
	SIG_BPF,    /* tc program + ring buffer; the kernel never sees the packet */
	SIG_BPF_HA, /* the same with a second ring, for sig_homes_put() */
	SIG_PACKET, /* AF_PACKET socket, and an nftables rule that hides the packet from the kernel
		     */
};

struct sig_counters {
	uint64_t rx, lost, tx, tx_errors;
}; /* lost: ring or socket overflow */

/* 0 or -errno; 'why' (WHY_SIZE) tells what failed. */
int sig_open(struct sig **, enum sig_mode, sd_event *, sig_rx_fn *, void *arg, char *why);
int sig_attach(struct sig *, unsigned ifindex); /* idempotent; 0 or -errno */
void sig_detach(struct sig *, unsigned ifindex);
/* Only packets to these addresses are taken: what is forwarded stays untouched. */
int sig_local_put(struct sig *, const struct in6_addr *);  /* idempotent; 0 or -errno */
int sig_local_drop(struct sig *, const struct in6_addr *); /* 0 also if it was not there */
/* A home agent's: what names one of these 'n' home addresses does not wait behind what names none,
 * a router's usual rate provided (sig_map.h).  Engine ip6tnl's way has one queue for all.  0 or
 * -errno. */
int sig_homes_put(struct sig *, const struct in6_addr *hoas, unsigned n);
void sig_home_drop(struct sig *, const struct in6_addr *hoa); /* nobody we know any more */
/* From now on packets with these headers are taken whatever follows, IPsec excepted: SIG_TAKE_*
 * (bpf/sig_map.h).  0 or -errno. */
int sig_take(struct sig *, uint32_t what);
/* Gives a complete packet, which came for this host, to the kernel's own input.  0 or -errno. */
int sig_deliver(struct sig *, const void *pkt, size_t size);
/* Sends a complete IPv6 packet (ip6_encode()), by routing or out of 'oif' if not 0.  0 or -errno.
 */
int sig_send(struct sig *, const void *pkt, size_t size, unsigned oif);
void sig_counters(struct sig *, struct sig_counters *);
void sig_close(struct sig *); /* detaches what it attached; accepts NULL */
