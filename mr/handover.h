/* handover.h - how long each phase of a move took: operators ask for nothing else.  Pure: times are
 * the caller's, microseconds of CLOCK_BOOTTIME. */
#pragma once
#include <jansson.h>
#include <net/if.h>
#include "common/core/addr.h"

#define HANDOVER_KEPT 32

#define HANDOVER_PHASES(X) X(hint) X(rs) X(ra) X(coa) X(bu) X(ba) X(first_packet)
enum handover_phase {
#define X(name) HANDOVER_##name,
	HANDOVER_PHASES(X)
#undef X
		HANDOVER_N_PHASES
};

struct handover {
	uint64_t n; /* 1, 2, ... */
	char cause[32];
	struct in6_addr from, to; /* care-of addresses; from may be :: */
	char uplink[IFNAMSIZ];
	bool known_link;
	int64_t wall_ms;                /* of the hint, ms since 1970 */
	uint64_t us[HANDOVER_N_PHASES]; /* 0 = has not happened (yet) */
	unsigned counted;               /* bits: phases that are in the histograms */
};
/* Upper bounds of the histograms, ms. */
#define HANDOVER_BOUNDS(X) \
	X(1) X(2) X(5) X(10) X(20) X(50) X(100) X(200) X(500) X(1000) X(2000) X(5000) X(10000)
enum {
#define X(ms) HANDOVER_WITHIN_##ms,
	HANDOVER_BOUNDS(X)
#undef X
		HANDOVER_N_BOUNDS
};

struct handovers {                        /* zeroed to begin with */
	uint64_t n;                       /* ever */
	struct handover v[HANDOVER_KEPT]; /* ring: number n stands at (n - 1) % HANDOVER_KEPT */
	struct {                          /* how long the phases took, of all moves */
		uint64_t n, sum_us, within[HANDOVER_N_BOUNDS];
	} phases[HANDOVER_N_PHASES];
	uint64_t hint_us, rs_us; /* of the hint that has not led to a move yet; 0 = none */
};

void handover_hint(struct handovers *, uint64_t us); /* only the first of several counts */
void handover_rs(struct handovers *, uint64_t us);
void handover_forget(struct handovers *); /* the hint was a false alarm */
/* A move begins: takes the hint's times over. */
struct handover *handover_begin(struct handovers *, uint64_t us);
struct handover *handover_last(struct handovers *); /* NULL: none yet */
/* Notes that 'phase' happened, if it is the first time in the last move. */
void handover_mark(struct handovers *, enum handover_phase, uint64_t us);
/* The last move is over, or as good as: what is not in the histograms yet gets there. */
void handover_count(struct handovers *);
/* [{"phase", "n", "sum_ms", "within": [{"ms", "n"}, ...]}, ...], all phases but the hint. */
json_t *handover_phases_show(const struct handovers *);
json_t *handover_show(const struct handover *); /* schema: doc/control.md */
json_t *handovers_show(const struct handovers *);
/* "hint 0, rs 0.2, ..." in ms, into 'buf'; returns it. */
const char *handover_text(const struct handover *, char *buf, size_t size);
