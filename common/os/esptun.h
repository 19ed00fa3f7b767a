/* esptun.h - payload = "esp": which associations and policies the kernel has for the tunnels'
 * packets, and when.  common/sec/payload.h says what they are made of; in time:
 *
 *     router                                             home agent
 *       new keys by TLS: association to the home agent     the same, and that before stays
 *       Binding Update n leaves, from care-of address c:
 *          association to the router (n, c), besides       accepted: policies for c, association
 *          the last ones                                   (n, c) in place of the last one
 *       tunnel put: policies for c
 *
 * So a handover needs no message and no waiting, and sends nothing under keys that were in use with
 * a counter that starts again.  Policies stand before the tunnel's routes do, and a packet that
 * finds no association is dropped: nothing leaves in clear. */
#pragma once
#include "common/os/xfrm.h"
#include "common/sec/payload.h"

/* Octets that ESP adds to a tunnel's packet, at most: header, IV, padding, trailer, ICV. */
#define ESPTUN_OVERHEAD 40

struct esptun;
/* Removes what an earlier run left.  0 or -errno with 'why' (WHY_SIZE), as xfrm_open(). */
int esptun_open(struct esptun **, bool home_agent, char *why);
/* New keys of a pair of home agent and home address; copied. */
void esptun_keys(struct esptun *, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct payload_secret *);
/* A router is about to send this Binding Update. */
void esptun_update(struct esptun *, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct in6_addr *coa, uint16_t seq);
struct esptun_put {
	struct in6_addr ha, hoa, coa;
	struct in6_addr old_coa; /* still received at; :: = none */
	uint16_t seq;            /* home agent: the update that it stands for */
};
/* Before the tunnel is put or changed.  0 or -errno: then it must not be put. */
int esptun_put(struct esptun *, const struct esptun_put *);
int esptun_drop(struct esptun *, const struct in6_addr *hoa); /* after the tunnel is dropped */
/* The router is no more, and its tunnel is dropped: its associations and secrets go. */
void esptun_forget(struct esptun *, const struct in6_addr *hoa);
/* 'keep': what is installed stays, for tunnels that go on without a daemon.  Accepts NULL. */
void esptun_close(struct esptun *, bool keep);
