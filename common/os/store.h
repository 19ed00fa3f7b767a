/* store.h - what has to survive a restart, in one file of records that are written in place, one
 * write each: floors of replay protection, bindings, an operator's orders.
 *
 * What was put is the kernel's at once, so that the end of the process, whatever its reason, loses
 * nothing.  If the host itself goes down, up to the last 30 s may be missing (the kernel's
 * vm.dirty_expire_centisecs), but for what was put with STORE_SYNC. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_MAX 464 /* octets of a value */

enum {                      /* kinds, besides enum sec_mark_kind */
	KEPT_BINDING = 'b', /* home agent: a router's, struct ha_kept */
	KEPT_AGENT = 'h',   /* home agent: its own, struct ha_kept_agent */
	KEPT_ROUTER = 'm',  /* mobile router */
	KEPT_SAS = 's',     /* session file: struct sec_sas */
};
struct store_key {
	uint8_t kind;
	uint8_t format; /* of the value's layout: one of another format is not got, but replaced */
	struct in6_addr a, b;
};

enum store_state {
	STORE_WHOLE, /* all that was put, as it was put last */
	STORE_NEW,   /* there was no file */
	STORE_OLD,   /* the host went down meanwhile, a write failed, or it is a copy: records may
		      * be old */
	STORE_TORN,  /* and some were not whole: they are gone */
	STORE_ASIDE, /* it was something else: renamed to PATH.bad, and begun anew */
};

enum store_how { STORE_FAST, STORE_SYNC /* on the disk before it returns */ };

struct store;
/* Opens or makes 'path' (mode 0600).  'tmpfs': only where nothing gets to a disk, for secrets.  0
 * and 'state', or -errno (-EAGAIN: another process has it; -EMEDIUMTYPE: it is not on a tmpfs). */
int store_open(struct store **, const char *path, bool tmpfs, enum store_state *state);
/* Fills 'value'; false: there is none of that key and size. */
bool store_get(const struct store *, const struct store_key *, void *value, size_t size);
/* 0 or -errno.  A key keeps the size of its first value, unless the format changes; size 0 drops
 * the record, and its place is another one's then. */
int store_put(
	struct store *, const struct store_key *, const void *value, size_t size, enum store_how);
bool store_same_boot(const struct store *); /* the host has not booted since it was written */
int store_empty(struct store *);            /* drops all records; 0 or -errno */
/* Calls 'fn' for every record of a kind, of whatever format, in the order they first came; it may
 * put the same key.  0 or -errno. */
typedef void store_fn(void *arg, const struct store_key *, const void *value, size_t size);
int store_each(struct store *, uint8_t kind, store_fn *fn, void *arg);
void store_close(struct store *); /* accepts NULL */
