/* keep.c - what of the Binding Update List survives a restart (RFC 6275 s11.1): who holds the
 * binding and till when, and the last sequence number. */
#include "mr/core.h"

#define MAX_LIFETIME_S 262140
/* So many updates share one record: a write to the disk before each of them would cost a handover
 * milliseconds.  A run that follows goes on behind them, used or not. */
#define SEQ_AHEAD 16

void mr_keep(const struct mr *mr, struct mr_kept *out)
{
	const struct bul *b = &mr->bul;

	memset(out, 0, sizeof(*out));
	out->restart = mr->control.restart;
	out->seq = b->seq | (SEQ_AHEAD - 1);
	if (!b->live || b->bound_ha >= mr->n_known)
		return;
	out->live = true;
	out->ha = mr->conf->has[b->bound_ha];
	out->coa = b->bound_coa;
	out->ends = b->ends;
	out->lifetime_s = b->lifetime_s;
}

/* Not acknowledged as far as this run knows, so the first thing is an update of it. */
void mr_restore(struct mr *mr, const struct mr_kept *k, bool same_boot, int64_t wall, uint64_t now)
{
	int64_t ends = (int64_t)k->ends + (same_boot ? 0 : k->wall - wall);
	unsigned n = mr->conf->n_has, ha = mr_find_agent(mr->has, n, &k->ha);
	struct bul *b = &mr->bul;

	b->seq = k->seq;
	if (!k->live || k->lifetime_s > MAX_LIFETIME_S || ends <= (int64_t)now ||
		ends - (int64_t)now > k->lifetime_s * INT64_C(1000))
		return;
	if (!n) /* to be looked for */
		return;
	if (ha == n) { /* no longer in the list: it keeps the binding until another one has it */
		mr->has[n] = k->ha;
		mr->n_known = n + 1;
	} else {
		b->ha = ha;
	}
	b->live = b->tunnel = true;
	b->bound_ha = ha;
	b->bound_coa = k->coa;
	b->ends = (uint64_t)ends;
	b->refresh_at = now;
	b->lifetime_s = k->lifetime_s;
}
