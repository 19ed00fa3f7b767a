/* keys.h - a router's key file as text, and the keys made of its secrets (HKDF, RFC 5869).  Pure:
 * the file is read by common/os/protect.c.  One entry a line, '#' begins a comment:
 *
 *     auth SPI SECRET                      RFC 4285: the first line is used for sending
 *     auth SPI SECRET                      a second one is accepted as well: for a change of keys
 *     esp to-ha SPI hmac-sha-256-128 KEY [aes-cbc KEY] [no-replay-check]       RFC 3776, one of
 *     esp to-mr SPI hmac-sha-256-128 KEY [aes-cbc KEY] [no-replay-check]       each direction
 *
 *     psk IDENTITY SECRET                  keys by TLS 1.3 for protection = "esp"
 *
 * SPIs are decimal, 256 or more; secrets and keys hexadecimal. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/sec/esp.h"

#define KEYS_MAX_AUTH   2
#define KEYS_MAX_SECRET 64 /* octets */
#define KEYS_MIN_SECRET 16

#define KEYS_ID_SIZE   64  /* of an identity, with its NUL */
#define KEYS_CERT_SIZE 256 /* of a certificate's */

enum keys_dir { KEYS_TO_HA, KEYS_TO_MR, KEYS_N_DIRS };

struct keys_auth {
	uint32_t spi;
	unsigned size; /* of the secret, octets */
	uint8_t secret[KEYS_MAX_SECRET];
};
struct keys_psk {
	char id[KEYS_ID_SIZE]; /* "" = no such line */
	unsigned size;         /* of the secret, octets */
	uint8_t secret[KEYS_MAX_SECRET];
};
struct keys {
	unsigned n_auth;
	struct keys_auth auth[KEYS_MAX_AUTH];
	struct esp_sa esp[KEYS_N_DIRS]; /* spi = 0: no such line */
	struct keys_psk psk;
	/* Not of the file: identity of the other end's certificate; "" = none, or, at a router, the
	 * home agent's address. */
	char cert_id[KEYS_CERT_SIZE];
};

/* Reads 'text' (a string; it is cut to pieces) into '*out'.  NULL, or what is wrong: a static text
 * that quotes nothing of the file; '*line' is then its line. */
const char *keys_parse(char *text, struct keys *out, unsigned *line);
/* The key named 'label' for this pair of addresses and SPI, so that what one home agent was sent is
 * of no use at another.  0 or -EIO. */
int keys_derive(const struct keys_auth *, const char *label, const struct in6_addr *ha,
	const struct in6_addr *hoa, uint8_t *out, size_t size);
/* Of what a key exchange is by, psk line and certificate's identity: 64 bits of SHA-256. */
uint64_t keys_hash(const struct keys *);
void keys_wipe(struct keys *);
