/* conf.h - the translator's configuration file and its file of mappings. */
#pragma once
#include <net/if.h>
#include "common/os/conf.h"
#include "nat64/table.h"

enum nat64_engine_choice { NAT64_ENGINE_AUTO, NAT64_ENGINE_EBPF, NAT64_ENGINE_TUN };

struct nat64_prefix_conf {
	struct prefix6 prefix;
	struct prefix4 ipv4;
	unsigned n_hosts;
	struct prefix4 *hosts;
	unsigned line;
};
struct nat64_mapping_conf {
	struct prefix4 ipv4;
	struct prefix6 ipv6;
	int side; /* enum nat64_side less 1 */
	unsigned line;
};

struct nat64_file {
	struct nat64 nat64; /* all that translation depends on; mtu4 and mtu6 are unknown (65535) */
	char control[108], device[IFNAMSIZ];
	char user[64], control_group[64], control_readers[64]; /* "": none */
	int engine;                                            /* enum nat64_engine_choice */
	unsigned n_interfaces;
	char (*interfaces)[IFNAMSIZ];
	unsigned mtu, queues; /* of the TUN device */
	unsigned errors_per_second;

	/* As written; what 'nat64' is made of. */
	unsigned n_prefixes, n_mappings, n_pool4, n_pool6, n_bogons;
	struct nat64_prefix_conf *prefixes;
	struct nat64_mapping_conf *mappings; /* those in the configuration file itself */
	char mappings_file[256];
	struct prefix4 *pool4, *bogons;
	struct prefix6 *pool6;
	struct in_addr address4;
	struct in6_addr address6;
	unsigned lowest_ipv6_mtu;
	int udp_zero_checksum, hairpin, forward, tos_4to6;
	char tos_6to4[8];
	bool allow_non_global, origin_object;
};

extern const struct conf_key nat64_conf_keys[];
/* Reads and checks 'c->file' and the file of mappings it names (relative: to its directory).  Every
 * mistake and warning goes to 'c->report', as FILE:LINE: key: reason.  Returns the number of
 * mistakes; without any, 'out->nat64' is complete.  nat64_conf_free() in any case. */
unsigned nat64_conf_load(struct conf *c, struct nat64_file *out);
/* The same of 'path'; mistakes go to stderr. */
unsigned nat64_conf_read(const char *path, struct nat64_file *out);
void nat64_conf_free(struct nat64_file *);
