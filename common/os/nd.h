/* nd.h - Neighbour Discovery on a packet socket: the daemons see advertisements (and, if they want,
 * neighbour solicitations) with the frame's link-layer source, and send to a link-layer address of
 * their own choice (RFC 6059 s5.5.2 probes a router's stored MAC). */
#pragma once
#include <stdint.h>
#include <systemd/sd-event.h>
#include "common/wire/ndp.h"

struct nd;
/* A valid message; 'mac' is the frame's source.  Bad ones are counted: nd_dropped(). */
typedef void nd_rx_fn(void *arg, const struct ndp_msg *, const uint8_t *mac, unsigned ifindex);

#define ND_MAX_LINKS 8

/* RA and NA of the interfaces attached.  With 'home' Neighbour Solicitations, too, and once more
 * every RA, with 'mac' NULL, by a way that also brings those that this host multicasts itself.  0
 * or -errno. */
int nd_open(struct nd **, sd_event *, bool home, nd_rx_fn *, void *arg);
/* Listens there; idempotent.  A packet socket costs every packet of its interface a copy of its
 * head, so there is none where nothing is waited for.  0 or -errno. */
int nd_attach(struct nd *, unsigned ifindex);
void nd_detach(struct nd *, unsigned ifindex);
/* Joins the solicited-node group of 'addr' on an interface, or leaves it.  0 or -errno. */
int nd_join(struct nd *, unsigned ifindex, const struct in6_addr *addr);
int nd_leave(struct nd *, unsigned ifindex, const struct in6_addr *addr);
/* Makes 'addr' an anycast address of this router on an interface, until nd_close(): the kernel
 * answers solicitations for it.  0 or -errno. */
int nd_join_anycast(struct nd *, unsigned ifindex, const struct in6_addr *addr);
/* Sends 'm' out of 'ifindex' to 'mac', or to its multicast group's address if mac is NULL (a
 * multicast dst).  0 or -errno. */
int nd_send(struct nd *, const struct ndp_msg *m, const uint8_t *mac, unsigned ifindex);
uint64_t nd_dropped(const struct nd *); /* messages that failed ndp_decode() */
void nd_close(struct nd *);
