/* auth.h - RFC 4285: the authenticator over a Binding Update or Acknowledgement, and timestamps
 * against replay.  HMAC-SHA-256-128 takes the place of HMAC-SHA1-96: a private agreement of SPIs.
 * Pure: times are NTP's (seconds since 1900, 32 bits of fraction) and come in as arguments; they
 * are compared modulo 2^64, so the era that ends in 2036 is no edge. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_MAC_SIZE 16 /* octets */
#define AUTH_KEY_SIZE 32
#define AUTH_SUBTYPE  1 /* MN-HA, s5.1 */
#define AUTH_WINDOW_S 7 /* "close enough", s5.1 */
#define AUTH_MAX_SENT 8

/* The MAC over the first 'covered' octets of the Mobility Header 'mh' (all but the MAC itself), its
 * checksum taken as 0, and the two addresses before it.  0 or -EIO. */
int auth_mac(const uint8_t key[AUTH_KEY_SIZE], const struct in6_addr *coa,
	const struct in6_addr *hoa, const uint8_t *mh, size_t covered, uint8_t out[AUTH_MAC_SIZE]);

struct auth_floor {    /* what a home agent remembers of a router */
	uint64_t last; /* the largest timestamp accepted; with 'known' */
	bool known;    /* false: the memory was lost */
	bool asked;    /* a new one was asked for, and has not come yet */
	bool asked_once;
	uint64_t asked_at; /* with 'asked_once' */
	uint64_t lead;     /* this router's time less the clock; 0 unless that was set back */
};
/* Is the timestamp of an authentic update close to 'now' and above all accepted before?  If so it
 * becomes the floor.  If not '*reply' is what the answer 144 carries (s6).  Without a memory a
 * replay can't be told from an update, so the answer asks for a timestamp beyond all that can have
 * been accepted before.  'now' may step: that costs an answer 144, and nothing old is accepted. */
bool auth_floor_take(struct auth_floor *, uint64_t stamp, uint64_t now, uint64_t *reply);

struct auth_clock {            /* a mobile router's time of day as one home agent wants it */
	uint64_t offset, last; /* last: sent */
	uint64_t good;         /* largest one that was accepted, 0 = none */
	unsigned jumped;       /* an answer 144 was met without a change of 'offset': 2, then one
				* less with each update accepted */
	unsigned n_sent;
	uint64_t sent[AUTH_MAX_SENT]; /* the last ones, oldest first */
};
uint64_t auth_clock_next(struct auth_clock *, uint64_t now); /* larger than all before */
/* An authentic answer of another status than 144: false if its timestamp is none of ours. */
bool auth_clock_done(struct auth_clock *, uint64_t stamp);
/* An authentic answer 144 with this timestamp: false if it is about none of ours. */
bool auth_clock_adjust(struct auth_clock *, uint64_t reply, uint64_t now);
