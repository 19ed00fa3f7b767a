/* keying.h - keys for ESP on signalling: TLS 1.3 with pre-shared keys or certificates between
 * router and home agent, over TCP from the care-of address; the keys come from the exporter (the
 * idea of RFC 6618).
 *
 *     router                                          home agent
 *       TLS 1.3 handshake: psk_dhe_ke, identity and secret of the key file's psk line; or
 *       certificates of both, whose identities the configuration names
 *       1 F 0 0 | SPI to the router | home address -->
 *            <-- 1 F 0 0 | SPI to the home agent | home address       then both close
 *
 * F is 1 with payload = "esp", else 0, and has to be the same at both ends.
 * Each end chooses the SPI of what it will receive.  exporter("EXPORTER-nemo-signalling", home
 * agent | home address | SPI to home agent | SPI to router) gives two times AES-256 key and salt,
 * to the home agent first.  Every connection gives new keys, so numbers always begin at 1.
 * exporter("EXPORTER-nemo-payload", the same) gives the secret of payload.h.  The highest bit of an
 * SPI is 0, and those of a home agent differ from each other. */
#pragma once
#include <systemd/sd-event.h>
#include "common/os/certs.h"
#include "common/sec/payload.h"
#include "common/sec/sec.h"

#define KEYING_COUNTERS(X) \
	X(key_ok, "key exchanges that gave keys") \
	X(key_failed, \
		"key exchanges that failed: identity or secret unknown, no TLS 1.3, cut off") \
	X(key_identity, \
		"key exchanges refused: a good certificate, but of no identity that is expected") \
	X(key_home_address, "key exchanges refused: the identity is not this home address's") \
	X(key_payload, "key exchanges refused: payload = \"esp\" at one end only") \
	X(key_limited, "key exchanges cut off, the longest open first: too many at once")
enum keying_counter {
#define X(name, text) KEY_C_##name,
	KEYING_COUNTERS(X)
#undef X
		KEYING_N_COUNTERS
};

struct keying;
/* New associations, and the secret for payload; to be copied. */
typedef void keying_done_fn(void *arg, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct esp_sa *in, const struct esp_sa *out, const struct payload_secret *);

/* 'ha': listen there as a home agent does; NULL: a mobile router.  0 or -errno. */
int keying_open(struct keying **, sd_event *, const struct in6_addr *ha, unsigned port,
	keying_done_fn *, void *arg);
/* From now on with certificates, too; looked at again before each exchange if they have changed.
 * 'files' is borrowed.  0, or -errno after a line in the log. */
int keying_certify(struct keying *, const struct certs_files *files);
/* Who may ask for keys of which home address (home agent: psk line, certificate's identity), or who
 * we are and who the home agent is (router).  Copied.  0 or -ENOMEM. */
int keying_add(struct keying *, const struct keys *, const struct in6_addr *hoa);
void keying_drop(struct keying *, const struct in6_addr *hoa); /* nobody may ask for its keys */
/* A router's wish: asks 'ha' from 'coa', unless it does so already or did a moment ago. */
void keying_start(struct keying *, const struct in6_addr *coa, const struct in6_addr *ha,
	const struct in6_addr *hoa);
void keying_hurry(struct keying *);   /* the other end is there again: don't wait between tries */
void keying_payload(struct keying *); /* the tunnel's packets are under ESP here */
uint64_t keying_counter(const struct keying *, enum keying_counter);
void keying_close(struct keying *); /* wipes the secrets; accepts NULL */
