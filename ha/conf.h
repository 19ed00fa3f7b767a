/* conf.h - the home agent's configuration file. */
#pragma once
#include "common/os/certs.h"
#include "common/os/conf.h"
#include "common/sec/sec.h"
#include "ha/ha.h"

struct ha_allow_conf {
	char from[HA_NAME_SIZE], to[HA_NAME_SIZE]; /* tenants */
	unsigned line;
};

struct ha_file {
	struct ha_conf core;
	const char *path; /* of the file; borrowed */
	char name[HA_NAME_SIZE], control[108];
	unsigned n_interfaces;
	char (*interfaces)[IFNAMSIZ];
	bool home_routes;
	char home_link[IFNAMSIZ]; /* "": the home link is virtual */
	int engine;               /* index into conf_engines */
	int protection;           /* enum sec_mode: what routers without a word of their own have */
	int payload;              /* enum sec_payload */
	unsigned key_port;
	char user[HA_NAME_SIZE], control_group[HA_NAME_SIZE], control_readers[HA_NAME_SIZE];
	char state_file[HA_PATH_SIZE], session_file[HA_PATH_SIZE];
	struct certs_files certs;
	struct keys *keys;    /* of each router, in the order of core.routers; owned, wiped */
	bool *refused;        /* of each router: protection could not take it over; owned */
	unsigned mtu;         /* 0 = the smallest underlay MTU less TUNNEL_OVERHEAD */
	unsigned encap_limit; /* 1..255; 0 = none is sent */
	unsigned n_allow;
	struct ha_allow_conf *allow;
	struct tunnel_allow *allow_ids; /* n_allow of them, in tenant numbers; owned */
};

extern const struct conf_key ha_conf_keys[];
/* Reads and checks 'path' and numbers the tenants; every mistake goes to stderr.  Returns the
 * number of mistakes.  ha_conf_free() in any case. */
unsigned ha_conf_read(const char *path, struct ha_file *out);
/* The same, told where 'conf' says; 'running' (NULL: none) has the secrets that can't be read
 * again. */
unsigned ha_conf_load(struct conf *, struct ha_file *out, const struct ha_file *running);
void ha_conf_free(struct ha_file *);
/* conf_check.c: reports what does not fit together, numbers the tenants, reads the secrets. */
void ha_conf_check(struct conf *, struct ha_file *, const struct ha_file *running);
/* How this router of the table protects its signalling. */
enum sec_mode ha_conf_protection(const struct ha_file *, const struct ha_router *);
const char *ha_conf_engine(const struct ha_file *); /* "auto", "ebpf" or "ip6tnl" */
