/* mh_opt.h - mobility options: between mh.c, which knows messages, and mh_opt.c, which knows what
 * may stand behind them.  Nobody else's. */
#pragma once
#include "common/core/rd.h"
#include "common/wire/mh.h"

enum {
	OPT_PAD1,
	OPT_PADN,
	OPT_REFRESH,
	OPT_ALT_COA,
	OPT_NONCE,
	OPT_AUTH,
	OPT_MNP,
	OPT_ID = 8,
	OPT_MAC,
	OPT_STAMP,
	OPT_RESTART = 28,
	OPT_IPV4_HOA = 29,
	N_OPTS = 32, /* a mask holds no more */
};
#define MH_OPT_BIT(opt) (1u << (opt))

/* Lifetimes travel in units of 4 s, 16 bits. */
static inline uint16_t mh_units(uint32_t s)
{
	return s / 4 > UINT16_MAX ? UINT16_MAX : (uint16_t)(s / 4);
}

/* All that is left in 'r'.  What is not in 'allowed' (MH_OPT_BIT()s) is skipped, as what is unknown
 * or of a wrong length (s6.2.1).  False: the message is to be dropped. */
bool mh_opt_read(struct rd *r, uint32_t allowed, struct mh_opts *);
/* What is set and allowed, each aligned as its RFC says, and padding to 8 octets. */
void mh_opt_write(struct wr *w, uint32_t allowed, const struct mh_opts *);
