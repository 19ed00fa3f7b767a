/* keep.h - what outlives the daemon: the device's queues, the programs and their counters, in the
 * file descriptor store of the service manager (systemd: FileDescriptorStoreMax=).  The device
 * lives as long as somebody holds a queue of it, its routes as long as the device, and packets wait
 * in its queues until somebody reads them.  The manager lets go of them all when it doesn't start
 * the service again; without a store they end with the process.
 *
 * A run that hasn't proved itself has nothing in the store: what it took over ends with it, if it
 * crashes.  So one crash is bridged, and a daemon that can't start, or crashes again at once,
 * leaves no routes behind: the network turns to another translator.  The run after such a one waits
 * a second before it begins (a mark in the store tells it): nobody follows a box that comes and
 * goes. */
#pragma once
#include <stdbool.h>

#define NAT64_MAX_QUEUES 16

struct nat64_kept {
	unsigned n_queues;
	int queues[NAT64_MAX_QUEUES];
	int program, counters; /* -1: none */
	bool again;            /* the run before did not prove itself */
};

/* Takes what an earlier run left out of the store; for nat64_keep_release(). */
void nat64_keep_take(struct nat64_kept *);
/* Puts it in, and waits until the manager has read it; 'k' is borrowed.  false: there is no
 * manager, or it did not answer. */
bool nat64_keep_put(const struct nat64_kept *k);
void nat64_keep_release(struct nat64_kept *); /* closes what is left of it */
