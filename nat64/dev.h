/* dev.h - the translator's TUN device, and what the host must allow so that packets reach it. */
#pragma once
#include "nat64/engine.h"

/* Makes the device with as many queues as asked for, each a non-blocking file descriptor owned by
 * the caller; closing all of them removes the device and its routes.  Or takes over that of an
 * earlier run, if it is as wanted: 'kept' has no queues then.  Brings it up.  0, or -errno after a
 * line in the log ('fds' are then closed). */
int nat64_dev_open(const struct nat64_engine_conf *, int fds[NAT64_MAX_QUEUES], unsigned *ifindex);
/* Removes it and its routes, whoever holds its queues; nothing if it is gone. */
void nat64_dev_delete(unsigned ifindex);
/* One line in the log, with the remedy, for each setting of this host that stops translation. */
void nat64_dev_check_host(void);
