/* heartbeat.c - heartbeats between router and home agent (RFC 5847, used outside of Proxy Mobile
 * IPv6).  The router asks the home agent that holds its binding.  Another restart counter means
 * that the home agent has lost the binding: register anew.  Too many requests without an answer
 * mean that it is gone: register with the next one, or again with the only one.  The tunnel stays
 * in any case until its lifetime ends. */
#include "mr/core.h"

#define OFF_MS        600000 /* without heartbeats, after a Binding Error: anyone could send that */
#define DEAF_MS       5000   /* between restarts that are told without having been asked */
#define ANSWERS_PER_S 5

static void request(struct mr *mr)
{
	struct mr_control *c = &mr->control;

	c->hb.at = mr->now + mr->conf->heartbeat_s * 1000ull;
	if (mr->active < 0)
		return;
	mr_control_message(mr, c->hb.ha, MH_HB)->m.hb.seq = ++c->hb.seq;
	c->hb.waiting = true;
	mr->counters[MR_C_hb_tx]++;
}

/* A response that answers 'seq', or nothing at all. */
static void respond(struct mr *mr, unsigned ha, bool unsolicited, uint32_t seq)
{
	struct mh_env *e = mr_control_message(mr, ha, MH_HB);

	e->m.hb = (struct mh_hb){.response = true, .unsolicited = unsolicited, .seq = seq};
	e->m.o.has_restart = true;
	e->m.o.restart = mr->control.restart;
}

static void answered(struct mr *mr)
{
	struct mr_control *c = &mr->control;

	c->hb.waiting = false;
	c->hb.missed = 0;
	if (c->hb.silent)
		mr_note(mr, NOTE_PEER_ANSWERS, "home agent");
	c->hb.silent = false;
}

void mr_heartbeat_bound(struct mr *mr)
{
	struct mr_control *c = &mr->control;

	if (!mr->conf->heartbeat_s)
		return;
	if (c->hb.ha == mr->bul.bound_ha) {
		answered(mr);
		if (c->hb.at == UINT64_MAX)
			request(mr);
		return;
	}
	c->hb.ha = mr->bul.bound_ha;
	c->hb.waiting = c->hb.silent = c->hb.heard = c->hb.known = false;
	c->hb.missed = 0;
	c->hb.off_until = c->hb.deaf_until = 0;
	if (mr->active >= 0) /* should it know us from a run before: we are new (s3.2) */
		respond(mr, c->hb.ha, true, 0);
	request(mr); /* now: it has to be known before it can be another */
}

void mr_heartbeat_unknown(struct mr *mr)
{
	struct mr_control *c = &mr->control;

	if (c->hb.heard) /* it has answered: someone else says so */
		return;
	c->hb.waiting = false;
	c->hb.missed = 0;
	c->hb.off_until = mr->now + OFF_MS;
}

static void missed(struct mr *mr)
{
	struct mr_control *c = &mr->control;
	const struct bul *b = &mr->bul;
	bool other = mr->conf->n_has > 1;

	mr->counters[MR_C_hb_missed]++;
	/* One that acknowledges updates but has not answered a heartbeat yet, or again, is no worse
	 * for it: it may not know them, and to register over and over would help nobody. */
	if (++c->hb.missed <= mr->conf->heartbeat_misses || !c->hb.heard)
		return;
	c->hb.silent = true;
	c->hb.heard = false;
	mr_note(mr, NOTE_PEER_SILENT, "home agent: no answer to %u heartbeats; registering %s",
		c->hb.missed, other ? "with the next one" : "again");
	if (!other)
		bul_again(mr);
	else if ((b->state == BUL_BOUND || b->state == BUL_REGISTERING) && b->ha == b->bound_ha)
		bul_switch(mr, (b->bound_ha + 1) % mr->conf->n_has);
}

void mr_heartbeat_tick(struct mr *mr)
{
	struct mr_control *c = &mr->control;

	if (!mr_bound(mr, mr->now)) { /* s3: no requests without a binding */
		c->hb.at = UINT64_MAX;
		c->hb.waiting = false;
	} else if (mr->now < c->hb.off_until) {
		c->hb.at = c->hb.off_until;
	} else {
		if (c->hb.waiting && mr->active >= 0)
			missed(mr);
		request(mr);
	}
}

void mr_heartbeat_reload(struct mr *mr)
{
	struct mr_control *c = &mr->control;

	if (!mr->conf->heartbeat_s) {
		c->hb.at = UINT64_MAX;
		c->hb.waiting = c->hb.silent = false;
	} else if (c->hb.at != UINT64_MAX) {
		c->hb.at = mr_min(c->hb.at, mr->now + mr->conf->heartbeat_s * 1000ull);
	} else if (mr_bound(mr, mr->now)) {
		mr_heartbeat_bound(mr);
	}
}

static void receive_request(struct mr *mr, const struct mh_env *e, unsigned ha)
{
	struct mr_control *c = &mr->control;

	if (mr->now - c->answers_since >= 1000) {
		c->answers_since = mr->now;
		c->answers = 0;
	}
	if (c->answers >= ANSWERS_PER_S) {
		mr->counters[MR_C_control_limited]++;
		return;
	}
	c->answers++;
	mr->counters[MR_C_hb_rx]++;
	respond(mr, ha, false, e->m.hb.seq);
}

void mr_heartbeat_receive(struct mr *mr, const struct mh_env *e, unsigned ha)
{
	struct mr_control *c = &mr->control;
	bool asked = c->hb.waiting && e->m.hb.seq == c->hb.seq;

	if (!e->m.hb.response) {
		receive_request(mr, e, ha);
		return;
	}
	/* An unsolicited one has no number to go by: it counts now and then only. */
	if (ha != c->hb.ha || !mr_bound(mr, mr->now) ||
		(e->m.hb.unsolicited ? mr->now < c->hb.deaf_until : !asked)) {
		mr->counters[MR_C_hb_unmatched]++;
		return;
	}
	if (e->m.hb.unsolicited)
		c->hb.deaf_until = mr->now + DEAF_MS;
	answered(mr);
	c->hb.heard = true;
	if (!e->m.o.has_restart)
		return;
	if (c->hb.known && c->hb.counter != e->m.o.restart) {
		mr_note(mr, NOTE_PEER_RESTARTED, "home agent: registering again");
		bul_again(mr);
	}
	c->hb.known = true;
	c->hb.counter = e->m.o.restart;
}
