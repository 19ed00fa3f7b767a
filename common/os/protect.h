/* protect.h - message protection at the edge: key files, what it keeps over a restart, and the
 * struct sec that mhio.c sends and receives through. */
#pragma once
#include <jansson.h>
#include "common/os/conf.h"
#include "common/os/mhio.h"
#include "common/os/store.h"
#include "common/sec/sec.h"

/* Reads the key file 'path' for 'mode', as part of the configuration: what is wrong is reported
 * with the key file's line, or as a mistake of "keys" in 'line'.  It must belong to root or to this
 * user, and nobody else may have access to it. */
void protect_read_keys(
	struct conf *, unsigned line, enum sec_mode, const char *path, struct keys *out);

struct protect;
/* 'state' (borrowed) keeps the floors of replay protection, kinds SEC_MARK_*; 'old': they may be
 * older than what was accepted.  'session_file' keeps negotiated keys; "": nothing does.  0 or
 * -errno after a line in the log. */
int protect_open(struct protect **, bool home_agent, enum sec_mode strangers, struct store *state,
	bool old, const char *session_file);
int protect_add(struct protect *, const struct in6_addr *ha, const struct in6_addr *hoa,
	const char *name, enum sec_mode, const struct keys *);
/* sec_add_any(): the home agents are to be found. */
int protect_add_any(struct protect *, const struct in6_addr *hoa, const char *name, enum sec_mode,
	const struct keys *);
/* SEC_ESP's key exchange: 'ha' is the home agent's own address, NULL at a router.  Before the pairs
 * are added.  0 or -errno after a line in the log. */
int protect_keying(struct protect *, sd_event *, const struct in6_addr *ha, unsigned port);
/* A router's keys of SEC_ESP are not to get older than this; 0: they may. */
void protect_rekey(struct protect *, unsigned interval_s);
void protect_attach(struct protect *, struct mhio *); /* its messages go through here from now on */
void protect_stats(struct protect *, json_t *list);   /* counters, group "protection" */
void protect_close(struct protect *);                 /* accepts NULL */
