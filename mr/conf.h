/* conf.h - the mobile router's configuration file. */
#pragma once
#include "common/os/certs.h"
#include "common/os/conf.h"
#include "common/sec/sec.h"
#include "mr/mr.h"

struct mr_file {
	struct mr_conf core;
	const char *path; /* of the file; borrowed */
	char control[108];
	char prefix_hook[128]; /* "" = none */
	int engine;
	int protection; /* enum sec_mode */
	int payload;    /* enum sec_payload */
	unsigned key_port, rekey_s;
	char user[MR_NAME_SIZE], control_group[MR_NAME_SIZE], control_readers[MR_NAME_SIZE];
	char keys_file[256], state_file[256], session_file[256];
	struct certs_files certs;
	char ha_identity[KEYS_CERT_SIZE]; /* "" = its address */
	struct keys keys;                 /* wiped */
	unsigned mtu;                     /* 0 = the smallest uplink MTU less TUNNEL_OVERHEAD */
	unsigned encap_limit;             /* 1..255; 0 = none is sent */
	unsigned table;                   /* kernel table of the reverse-tunnelled traffic */
};

extern const struct conf_key mr_conf_keys[];
/* Reads and checks 'path'; every mistake goes to stderr.  Returns the number of mistakes.
 * mr_conf_free() in any case. */
unsigned mr_conf_read(const char *path, struct mr_file *out);
/* The same, told where 'conf' says; 'running' (NULL: none) has the secrets that can't be read
 * again.
 */
unsigned mr_conf_load(struct conf *, struct mr_file *out, const struct mr_file *running);
void mr_conf_free(struct mr_file *);
const char *mr_conf_engine(const struct mr_file *); /* "auto", "ebpf" or "ip6tnl" */
