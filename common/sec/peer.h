/* peer.h - the pairs of home agent and router: between sec.c and sec_auth.c; nobody else's. */
#pragma once
#include <uthash.h>
#include "common/sec/sec.h"

#define SEC_SECOND ((uint64_t)1 << 32) /* NTP */

struct pair { /* hash key: no padding */
	struct in6_addr ha, hoa;
};

struct peer {
	struct pair id;
	enum sec_mode mode;
	uint8_t name_size;
	char name[MH_MAX_ID]; /* no NUL */
	struct {
		unsigned n;
		/* Secrets, until the first message: then size = 0, and the key that follows from
		 * it stands there. */
		struct keys_auth key[KEYS_MAX_AUTH];
		bool recalled;           /* the two below are what they were before a restart */
		struct auth_floor floor; /* home agent */
		struct auth_clock clock; /* mobile router */
	} auth;
	struct {
		struct esp_sa in, out; /* spi = 0: no keys yet */
		struct esp_sa old;     /* 'in' before the last keys; spi = 0: gone */
		/* A home agent's next 'out': the router may not have it before it uses its own new
		 * one.  spi = 0: none. */
		struct esp_sa next_out;
		uint64_t since;    /* ms; when the keys came */
		uint64_t secret;   /* keys_hash() of what new ones are made with */
		bool outdated;     /* router: 'secret' is another now */
		unsigned unheard;  /* messages sent since one came */
		uint32_t reserved; /* outbound numbers up to it are ours to use */
		uint64_t told;     /* NTP; when the lack of keys was told, or believed */
	} esp;
	uint64_t answers_since; /* NTP; start of the second that 'answers' counts */
	unsigned answers;
	UT_hash_handle hh;
};

struct any { /* sec_add_any() */
	bool there;
	struct in6_addr hoa;
	char name[MH_MAX_ID + 1];
	enum sec_mode mode;
	struct keys keys;
};

struct sec {
	bool home_agent;
	enum sec_mode strangers;
	uint64_t rekey_ms; /* 0: never for their age */
	struct sec_hooks hooks;
	struct peer *peers; /* uthash, owned */
	struct any any;
	uint64_t counters[SEC_N_COUNTERS];
};

/* sec.c */
void sec_keep(struct sec *, const struct peer *, uint8_t kind, uint64_t value);
enum mh_verdict sec_drop(struct sec *, enum sec_counter); /* counts; MH_DROP_SEC */
/* Can a message of this type do no more than make a router renew its binding, at the rate it may?
 */
bool sec_harmless(uint8_t type);

/* sec_auth.c */
void sec_auth_add(struct peer *, const struct keys *);
/* A message ('mh' of 'size' octets, decoded in 'e') of that pair. */
enum mh_verdict sec_auth_open(struct sec *, struct peer *, const uint8_t *mh, size_t size,
	uint64_t now, struct mh_env *e);
/* Writes e->m with the option to 'mh'; returns its size, or as sec_seal(). */
int sec_auth_seal(
	struct sec *, struct peer *, struct mh_env *e, uint64_t now, uint8_t *mh, size_t room);
