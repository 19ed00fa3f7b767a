/* protect.h - message protection at the edge: key files, what it keeps over a restart, and the
 * struct sec that mhio.c sends and receives through. */
#pragma once
#include <limits.h>
#include <jansson.h>
#include "common/os/certs.h"
#include "common/os/conf.h"
#include "common/os/esptun.h"
#include "common/os/mhio.h"
#include "common/os/store.h"
#include "common/sec/sec.h"

/* May a file with a secret, opened as 'fd', be used: a regular one of root's or this user's that
 * nobody else has access to?  NULL, or what is wrong (valid until the next call). */
const char *protect_secret_file(int fd);
/* Secrets may belong to this user, too, besides root and ourselves: the daemon becomes him. */
void protect_owner(const char *user);
/* Where a secret is: 'name' itself if it has a folder; else systemd's credential of
 * LoadCredential=keys:/etc/nemo/keys, if there is one ('*credential': who may read that is
 * systemd's business), else the file in /etc/nemo/keys.  'buf' may be used for the answer. */
const char *protect_find_secret(const char *name, char buf[PATH_MAX], bool *credential);
/* May the secret 'name' not be read by us, who have given up root's rights? */
bool protect_denied(const char *name);
#define PROTECT_DENIED "%u files can't be read again by this user: what they said before holds"
/* Reads the key file 'path' for 'mode', as part of the configuration: what is wrong is reported
 * with the key file's line, or as a mistake of "keys" in 'line'.  It must belong to root or to this
 * user, and nobody else may have access to it.
 * 'certified': there are certificates, so SEC_ESP needs no psk line. */
void protect_read_keys(struct conf *, unsigned line, enum sec_mode, const char *path,
	bool certified, struct keys *out);

/* payload = "esp": do engine, 'mode' (which 'line' is about) and kernel go with it?  What does not
 * is reported. */
void protect_check_payload(struct conf *, const char *engine, unsigned line, enum sec_mode mode);

/* The keys "state_file", "session_file", "key_port" and "payload" of a daemon's configuration, for
 * its key table; 'file' is its struct, with members of these names. */
#define PROTECT_KEYS(file, name_, what_, needs_) \
	{.name = "payload", \
		.type = CONF_ENUM, \
		.off = offsetof(file, payload), \
		.def = "none", \
		.choices = sec_payloads, \
		.help = "protection of what the tunnel carries; esp: by the kernel, needs " \
			"protection = \"esp\", engine ip6tnl and the same at the " needs_}, \
		{.name = "state_file", \
			.type = CONF_STRING, \
			.off = offsetof(file, state_file), \
			.size = sizeof(((file *)0)->state_file), \
			.def = "/var/lib/nemo/" name_ ".state", \
			.help = "what has to survive a restart: " what_ ", numbers against " \
				"replay, orders of nemoctl"}, \
		{.name = "session_file", \
			.type = CONF_STRING, \
			.off = offsetof(file, session_file), \
			.size = sizeof(((file *)0)->session_file), \
			.def = "/run/nemo/" name_ ".sessions", \
			.help = "keys made by TLS, for a restart; must be on a tmpfs, else or if " \
				"empty they are made anew"}, \
	{ \
		.name = "key_port", .type = CONF_UINT, .off = offsetof(file, key_port), \
		.def = "7439", .min = 1, .max = 65535, \
		.help = "TCP port of the key exchange, for protection = \"esp\"" \
	}

struct protect;
/* 'state' (borrowed) keeps the floors of replay protection, kinds SEC_MARK_*; 'old': they may be
 * older than what was accepted.  'session_file' keeps negotiated keys; "": nothing does.  0 or
 * -errno after a line in the log. */
int protect_open(struct protect **, bool home_agent, enum sec_mode strangers, struct store *state,
	bool old, const char *session_file);
/* 0, or -errno after a line in the log (-EOPNOTSUPP: SEC_ESP without protect_keying()): then the
 * pair's messages are refused. */
int protect_add(struct protect *, const struct in6_addr *ha, const struct in6_addr *hoa,
	const char *name, enum sec_mode, const struct keys *);
/* Its negotiated keys are gone, those of 'session_file', too.  The mode is what it was added with.
 */
void protect_drop(
	struct protect *, const struct in6_addr *ha, const struct in6_addr *hoa, enum sec_mode);
/* sec_add_any(), and the key exchange's.  0 or -ENOMEM. */
int protect_add_any(struct protect *, const struct in6_addr *hoa, const char *name, enum sec_mode,
	const struct keys *);
/* sec_change_any(), and the key exchange's.  0, or -errno after a line in the log. */
int protect_change_any(struct protect *, const struct in6_addr *hoa, const struct keys *);
/* SEC_ESP's key exchange: 'ha' is the home agent's own address, NULL at a router; 'files' is
 * borrowed.  Before the first SEC_ESP pair is added; nothing if it is open already.  0 or -errno
 * after a line in the log. */
int protect_keying(struct protect *, sd_event *, const struct in6_addr *ha, unsigned port,
	const struct certs_files *files);
/* payload = "esp": opens '*tunnels', the caller's to close after this, and tells it of new keys.
 * Before protect_keying(), whose keys then begin anew (kept ones are not enough), and
 * protect_attach(): ESP under SPIs of payload is left to the kernel then.  0, or -errno
 * after a line in the log. */
int protect_open_payload(struct protect *, struct esptun **tunnels);
/* A router's keys of SEC_ESP are not to get older than this; 0: they may. */
void protect_rekey(struct protect *, unsigned interval_s);
void protect_attach(struct protect *, struct mhio *); /* its messages go through here from now on */
void protect_stats(struct protect *, json_t *list);   /* counters, group "protection" */
void protect_close(struct protect *);                 /* accepts NULL */
