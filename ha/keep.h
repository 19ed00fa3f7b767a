/* keep.h - what of the binding cache survives a restart (RFC 6275 s10.3.1, s15.3), as records of
 * the state file: one per router, one of the home agent's own.  Pure; edge.c does the writing,
 * after each step and before its answers leave.
 *
 * Times are of CLOCK_BOOTTIME, with the wall clock beside them for the time after a reboot. */
#pragma once
#include "ha/ha.h"

enum { KEEP_R = 1, KEEP_EXPLICIT = 2, KEEP_L = 4, KEEP_BARRED = 8 };

/* Another layout is another number: a later version does not read what this one wrote as its own.
 */
#define HA_KEPT_FORMAT       0
#define HA_KEPT_AGENT_FORMAT 0

struct ha_kept { /* no padding */
	struct in6_addr coa, local;
	uint64_t registered, refreshed, ends; /* ms */
	int64_t wall; /* wall clock less CLOCK_BOOTTIME when this was written, ms */
	uint32_t moves, lifetime_s;
	uint16_t seq;
	uint8_t state, flags;     /* enum binding_state; KEEP_* */
	uint32_t n_mnp;           /* prefixes that are forwarded */
	uint32_t mnp[MH_MAX_MNP]; /* a hash of each: the prefix table may change meanwhile */
};
_Static_assert(sizeof(struct ha_kept) == 208, "HA_KEPT_FORMAT; 208 octets fill a slot of 256");

struct ha_kept_agent {
	uint32_t restart; /* own restart counter */
	uint8_t draining, n_others, zero[2];
	struct in6_addr others[MH_MAX_HAS];
};
_Static_assert(sizeof(struct ha_kept_agent) == 8 + 16 * MH_MAX_HAS, "HA_KEPT_AGENT_FORMAT");

enum ha_restored { /* of a record */
	HA_RESTORED,
	HA_RESTORED_NONE,    /* there was no binding in it, or it has just ended in order */
	HA_RESTORED_EXPIRED, /* its lifetime ended meanwhile */
	HA_RESTORED_UNKNOWN, /* no such router in the prefix table any more */
	HA_RESTORED_REFUSED, /* would not be accepted now, or times that can't be */
};

/* Takes the next router whose record is not what it was when it was last taken: its home address
 * and what to keep ('wall' left 0).  An 'out' without a state and without flags: nothing is to be
 * kept.  False: there is none. */
bool ha_next_changed(struct ha *, struct in6_addr *hoa, struct ha_kept *out);
/* Leaves of a record what an operator ordered; false: nothing. */
bool ha_keep_order(struct ha_kept *);
void ha_keep_agent(const struct ha *, struct ha_kept_agent *out);
/* Takes over a record, before the first message.  'wall': as in the record, now; 'same_boot': the
 * host has not booted since.  'out': actions to be performed, as of ha_step(). */
enum ha_restored ha_restore(struct ha *, const struct in6_addr *hoa, const struct ha_kept *,
	bool same_boot, int64_t wall, uint64_t now, struct ha_out *out);
