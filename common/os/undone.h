/* undone.h - tells when somebody else takes away what a daemon has put into the kernel: another
 * tool, a restarted systemd-networkd, an operator's flush.  What is to be done about it is the
 * caller's. */
#pragma once
#include "common/os/net.h"

struct undone_handlers { /* any may be NULL: the kernel is not asked to tell of that */
	/* tc programs were removed from an interface: some of them or all, whose is not told */
	void (*programs)(void *arg, unsigned ifindex);
	/* a route of NET_PROTO is gone; dst, table, type and oif are filled */
	void (*route)(void *arg, const struct net_route *);
	void (*rule)(void *arg);                    /* a rule of NET_PROTO is gone */
	void (*table)(void *arg, const char *name); /* an nftables table was deleted, by whomever */
	void (*forwarding)(void *arg); /* IPv6 forwarding was switched off for all interfaces */
	void (*lost)(void *arg); /* messages were lost (ENOBUFS): any of these may have happened */
	void *arg;
	const struct net *own; /* routes and rules that go by requests of this one are not told */
};

struct undone;
int undone_open(struct undone **, sd_event *, const struct undone_handlers *); /* 0 or -errno */
void undone_close(struct undone *);                                            /* accepts NULL */
void undone_forwarding(
	void); /* it was switched off for all interfaces: on again, with a line in the log */
