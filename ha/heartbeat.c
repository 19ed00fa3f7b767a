/* heartbeat.c - heartbeats between home agent and router (RFC 5847, used outside of Proxy Mobile
 * IPv6).  The home agent answers the routers of its table, bound or not (s3), so that after a
 * restart of its own they learn of it at once; it asks only bound ones, if it is configured to. */
#include <stdio.h>
#include "ha/binding.h"

#define ANSWERS_PER_S 5 /* to one router: a request has any source address it likes */

static void tell(struct ha_out *out, enum note_type type, const struct ha_peer *p, const char *text)
{
	ha_note(out, type, p, &p->conf->hoa, -1, text);
	out->v[out->n - 1].note.coa = p->b.coa;
}

void ha_heartbeat_bound(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	if (p->c.hb_at == UINT64_MAX && ha->conf->heartbeat_s)
		p->c.hb_at = now; /* the first one learns the restart counter */
}

void ha_heartbeat_due(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	struct mh_env *e;

	if (!ha->conf->heartbeat_s) { /* a reload has switched them off */
		p->c.hb_at = UINT64_MAX;
		p->c.hb_missed = 0;
		p->c.hb_waiting = p->c.hb_silent = false;
		return;
	}
	if (p->c.hb_waiting) {
		ha->counters[HA_C_hb_missed]++;
		if (++p->c.hb_missed > ha->conf->heartbeat_misses && !p->c.hb_silent) {
			p->c.hb_silent = true;
			p->c.hb_heard = false;
			tell(out, NOTE_PEER_SILENT, p,
				"no answer to heartbeats; the binding stays for its lifetime");
		}
	}
	e = ha_control_message(out, p, MH_HB);
	e->m.hb.seq = ++p->c.hb_seq;
	p->c.hb_waiting = true;
	p->c.hb_at = now + ha->conf->heartbeat_s * 1000ull;
	ha->counters[HA_C_hb_tx]++;
}

/* A heartbeat of a bound router: it knows them, whatever a Binding Error has said. */
static void heard(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	p->c.hb_heard = true;
	ha_heartbeat_bound(ha, p, now);
	ha_control_arm(ha, p);
}

/* A router asks as long as it takes itself for bound (s3), and here it is not: it was bound before
 * a restart that it did not notice, or its clock stood still.  So it hears of that as well, by a
 * Binding Error 1 (RFC 6275 s6.1.9), and registers anew. */
static void deny(const struct mh_env *e, struct ha_out *out)
{
	struct mh_env *to = &ha_action(out, HA_DO_SEND)->mh;

	to->src = e->dst;
	to->dst = e->src;
	to->m.type = MH_BE;
	to->m.be.status = 1;
	to->m.be.hoa = e->hoa;
}

static void answer(
	struct ha *ha, struct ha_peer *p, const struct mh_env *e, uint64_t now, struct ha_out *out)
{
	struct mh_env *to;

	if (now - p->c.hb_since >= 1000) {
		p->c.hb_since = now;
		p->c.hb_n = 0;
	}
	if (p->c.hb_n >= ANSWERS_PER_S) {
		ha->counters[HA_C_hb_limited]++;
		return;
	}
	p->c.hb_n++;
	ha->counters[HA_C_hb_rx]++;
	to = ha_control_message(out, p, MH_HB);
	to->src = e->dst;
	to->dst = e->src;
	to->m.hb = (struct mh_hb){.response = true, .seq = e->m.hb.seq};
	to->m.o.has_restart = true;
	to->m.o.restart = ha->restart;
	if (p->b.state != BINDING_BOUND)
		deny(e, out);
}

static void note_counter(struct ha_peer *p, const struct mh_env *e, struct ha_out *out)
{
	uint32_t counter = e->m.o.restart;

	if (!e->m.o.has_restart)
		return;
	if (p->c.has_restart && p->c.restart != counter)
		tell(out, NOTE_PEER_RESTARTED, p, "the router has restarted");
	p->c.has_restart = true;
	p->c.restart = counter;
}

void ha_heartbeat_receive(struct ha *ha, const struct mh_env *e, uint64_t now, struct ha_out *out)
{
	struct ha_peer *p = e->rh2 ? NULL : ha_peer_find(ha, &e->hoa);
	bool here = p && p->b.state == BINDING_BOUND && addr6_eq(&e->src, &p->b.coa);

	/* A bound router is where its binding says; the others can be anywhere. */
	if (p && !e->m.hb.response && addr6_is_routable(&e->src) &&
		(here || p->b.state != BINDING_BOUND)) {
		answer(ha, p, e, now, out);
		if (here)
			heard(ha, p, now);
		return;
	}
	if (!here || !e->m.hb.response ||
		(!e->m.hb.unsolicited && (!p->c.hb_waiting || e->m.hb.seq != p->c.hb_seq))) {
		ha->counters[HA_C_control_foreign]++;
		return;
	}
	p->c.hb_waiting = false;
	p->c.hb_missed = 0;
	if (p->c.hb_silent)
		tell(out, NOTE_PEER_ANSWERS, p, "");
	p->c.hb_silent = false;
	heard(ha, p, now);
	note_counter(p, e, out);
}
