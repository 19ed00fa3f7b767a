/* engine.h - what carries packets to the translation and back.  The TUN engine is complete; the
 * eBPF engine is in front of it and takes the ordinary packets.  Engines hold the current
 * configuration and swap it between two packets. */
#pragma once
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "common/os/net.h"
#include "nat64/core/plan.h"
#include "nat64/keep.h"
#include "nat64/table.h"

struct nat64_counters {
	uint64_t n[NAT64_N_REASONS];
};
struct nat64_engine_conf {  /* borrowed during open() */
	char dev[IFNAMSIZ]; /* the TUN device: "nat64" */
	unsigned mtu;       /* of it */
	unsigned queues;
	unsigned n_interfaces; /* eBPF only */
	const char (*interfaces)[IFNAMSIZ];
	unsigned error_rate;     /* ICMP errors of our own per second; 0: none are sent */
	struct nat64_kept *kept; /* of an earlier run: what is taken over is taken out */
};
struct nat64_engine;

/* What befalls packets outside the translation. */
#define NAT64_TUN_COUNTERS(X) \
	X(errors_sent, "ICMP errors of our own sent") \
	X(errors_limited, "ICMP errors of our own left out by the rate limit") \
	X(bad_offload, "dropped: the kernel's offload header contradicts the packet") \
	X(write_errors, "dropped: the kernel did not take the translated packet")
enum nat64_tun_counter {
#define X(name, text) NAT64_TUN_##name,
	NAT64_TUN_COUNTERS(X)
#undef X
		NAT64_TUN_N_COUNTERS
};

/* TUN: opens the device (IFF_VNET_HDR, offloads) and brings it up; 'n' is the caller's, who keeps
 * it until swapped.  Packets wait until nat64_tun_start(): from then on a thread for each queue
 * reads it.  0, or -errno after a line in the log.  When somebody deletes the device, the loop ends
 * with EXIT_FAILURE. */
int nat64_tun_open(struct nat64_engine **out, sd_event *, const struct nat64_engine_conf *,
	const struct nat64 *n);
int nat64_tun_start(struct nat64_engine *);
void nat64_tun_swap(struct nat64_engine *, const struct nat64 *n); /* then the old one is unused */
void nat64_tun_counters(const struct nat64_engine *, struct nat64_counters *add);
uint64_t nat64_tun_counter(const struct nat64_engine *, enum nat64_tun_counter);
unsigned nat64_tun_ifindex(const struct nat64_engine *);
void nat64_tun_keep(const struct nat64_engine *, struct nat64_kept *); /* its queues, borrowed */
/* The device and its routes go, unless somebody else holds the queues; accepts NULL. */
void nat64_tun_close(struct nat64_engine *);

/* eBPF: loads the programs and puts them on the interfaces; -EOPNOTSUPP with 'why' (WHY_SIZE) if
 * this kernel can't, or one isn't of Ethernet's kind.  One that isn't there gets them when
 * nat64_bpf_link() is told that it is.  Packets it leaves go on into the TUN device by the routes.
 */
struct nat64_bpf;
int nat64_bpf_open(struct nat64_bpf **out, const struct nat64_engine_conf *, const struct nat64 *n,
	unsigned tun_ifindex, char *why);
/* 0: from now on every packet is translated by 'n', none by a mixture; else the old one stays. */
int nat64_bpf_swap(struct nat64_bpf *, const struct nat64 *n);
void nat64_bpf_link(struct nat64_bpf *, const struct net_link *); /* an interface came or went */
/* A packet of many segments (GSO) counts once, as at a network device. */
void nat64_bpf_counters(const struct nat64_bpf *, struct nat64_counters *add);
/* Are the programs at this interface of the configuration? */
bool nat64_bpf_is_on(const struct nat64_bpf *, const char *interface);
int nat64_bpf_prog(const struct nat64_bpf *); /* borrowed descriptor, for BPF_PROG_TEST_RUN */
void nat64_bpf_keep(
	const struct nat64_bpf *, struct nat64_kept *); /* program, counters: borrowed */
/* Takes an earlier run's program from the interfaces where there is none of 'b' (may be NULL). */
void nat64_bpf_sweep(const struct nat64_bpf *b, int program);
void nat64_bpf_close(struct nat64_bpf *, bool keep); /* keep: the programs stay; accepts NULL */
