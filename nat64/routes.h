/* routes.h - the kernel's routes into the translator's device, with a protocol number of their own:
 * `ip route show proto 140`, and BIRD or FRR can announce them.  They go with the device. */
#pragma once
#include <stdbool.h>
#include <systemd/sd-event.h>
#include "nat64/table.h"

#define NAT64_ROUTE_PROTO 140 /* rtm_protocol */

struct nat64_routes;

/* From now on, routes that somebody else deletes are put back.  0 or -errno. */
int nat64_routes_open(struct nat64_routes **, sd_event *, unsigned ifindex);
/* Takes over those that an earlier run left at the same device: they are the present
 * configuration.  0 or -errno. */
int nat64_routes_left(struct nat64_routes *);
/* Installs the routes that 'n' wants and the present configuration does not.  0; or -errno, with
 * 'why' (WHY_SIZE): those installed are then removed again. */
int nat64_routes_stage(struct nat64_routes *, const struct nat64 *n, char *why);
void nat64_routes_commit(struct nat64_routes *); /* removes those that only the old one wanted */
void nat64_routes_revert(struct nat64_routes *); /* removes the staged ones again */
/* Installs all again, after the device was down.  0 or -errno, with 'why'. */
int nat64_routes_restore(struct nat64_routes *, char *why);
/* Routes installed of a family. */
size_t nat64_routes_count(const struct nat64_routes *, bool is6);
void nat64_routes_close(struct nat64_routes *); /* leaves routes alone; accepts NULL */
