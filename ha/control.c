/* control.c - what an operator makes the home agent say to routers: revocation (RFC 5846) and Home
 * Agent Switch (RFC 5142).  Nothing here is sent but to the care-of address of a live binding, and
 * nothing of it ends but by the router's answer, in time, from there.
 *
 *      revoke                   BRA, or no answer
 *   -> BRI, again after 1 s ----------------------------------------> binding CLOSED; barred: 129
 *      drain
 *   -> HAS, again after 5, 10, 20, 20 ... s --- de-registration, or end of the lifetime ---> gone
 */
#include <stdio.h>
#include "ha/binding.h"

#define CONTROL_PEER(node) ((struct ha_peer *)((char *)(node)-offsetof(struct ha_peer, c.timer)))
#define SWITCH_FIRST_MS    5000                /* INITIAL-HA-SWITCH-TIMEOUT, RFC 5142 s8 */
#define SWITCH_MAX_MS      20000               /* MAX-HA-SWITCH-TIMEOUT */
#define MAX_PER_STEP       (3 + HOME_MAX_STOP) /* actions that one due time leads to, at most */

void ha_control_init(struct ha_peer *p)
{
	p->c.bri_at = p->c.has_at = p->c.hb_at = UINT64_MAX;
}

bool ha_control_arm(struct ha *ha, struct ha_peer *p)
{
	uint64_t at = ha_min(p->c.bri_at, ha_min(p->c.has_at, p->c.hb_at));

	if (at != UINT64_MAX)
		return heap_put(&ha->control_timers, &p->c.timer, at) == 0;
	heap_drop(&ha->control_timers, &p->c.timer);
	return true;
}

void ha_control_end(struct ha *ha, struct ha_peer *p)
{
	p->c.revoking = p->c.hb_waiting = p->c.hb_silent = p->c.hb_heard = false;
	p->c.hb_missed = 0;
	ha_control_init(p);
	ha_control_arm(ha, p);
}

void ha_control_bound(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	p->c.revoking = false; /* allowed in the meantime (RFC 5846 s7) */
	p->c.bri_at = UINT64_MAX;
	ha_heartbeat_bound(ha, p, now);
	ha_control_arm(ha, p);
}

struct mh_env *ha_control_message(struct ha_out *out, const struct ha_peer *p, uint8_t type)
{
	struct mh_env *e = &ha_action(out, HA_DO_SEND)->mh;

	e->src = p->b.local;
	e->dst = p->b.coa;
	e->hoa = p->conf->hoa;
	e->rh2 = true;
	e->m.type = type;
	return e;
}

/* --- revocation --- */

static void send_bri(struct ha *ha, struct ha_peer *p, struct ha_out *out)
{
	struct mh_env *e = ha_control_message(out, p, MH_BR);

	e->m.br = (struct mh_br){
		.type = MH_BRI, .code = MH_BRI_ADMINISTRATIVE, .seq = p->c.bri_seq};
	ha->counters[HA_C_bri_tx]++;
}

static void revoked(
	struct ha *ha, struct ha_peer *p, const char *why, uint64_t now, struct ha_out *out)
{
	struct in6_addr coa = p->b.coa;

	ha->counters[HA_C_revoked]++;
	ha_unbind(ha, p, BINDING_CLOSED, now, out);
	ha_note(out, NOTE_BINDING_REVOKED, p, &p->conf->hoa, -1, why);
	out->v[out->n - 1].note.coa = coa;
}

void ha_control_revoke(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	if (!p->c.barred)
		ha_note(out, NOTE_HA_BARRED, p, &p->conf->hoa, -1,
			"registrations get status 129 until: nemoctl ha allow");
	p->c.barred = true;
	ha_changed(ha, p);
	if (p->b.state != BINDING_BOUND || p->c.revoking)
		return;
	p->c.revoking = true;
	p->c.bri_seq = ++ha->bri_seq;
	p->c.bri_left = ha->conf->revoke_retries;
	p->c.bri_wait = ha_min(ha->conf->revoke_ms, ha->conf->revoke_max_ms);
	p->c.bri_at = now + p->c.bri_wait;
	if (ha_control_arm(ha, p))
		send_bri(ha, p, out);
	else
		revoked(ha, p, "no memory to wait for the router's answer", now, out);
}

void ha_control_allow(struct ha *ha, struct ha_peer *p, struct ha_out *out)
{
	ha_changed(ha, p);
	if (p->c.barred)
		ha_note(out, NOTE_HA_ALLOWED, p, &p->conf->hoa, -1, "");
	p->c.barred = false;
}

static void bri_due(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	if (p->c.bri_left == 0) {
		revoked(ha, p, "the router did not acknowledge", now, out);
		return;
	}
	p->c.bri_left--;
	p->c.bri_wait = ha_min(2 * p->c.bri_wait, ha->conf->revoke_max_ms);
	p->c.bri_at = now + p->c.bri_wait;
	send_bri(ha, p, out);
}

/* Whatever the router says, the operator wanted the binding gone (s6.2.2 leaves it to policy). */
static void receive_bra(struct ha *ha, const struct mh_env *e, uint64_t now, struct ha_out *out)
{
	struct ha_peer *p = ha_peer_find(ha, &e->hoa);
	char why[100];

	if (e->m.br.type != MH_BRA || e->rh2 || !p || !p->c.revoking ||
		e->m.br.seq != p->c.bri_seq || !addr6_eq(&e->src, &p->b.coa)) {
		ha->counters[HA_C_control_foreign]++;
		return;
	}
	ha->counters[HA_C_bra_rx]++;
	snprintf(why, sizeof(why), "the router answered: %s", mh_bra_str(e->m.br.code));
	revoked(ha, p, why, now, out);
}

/* --- home agent switch --- */

/* No two of them closer than the rate allows, repetitions counted (RFC 5142 s7). */
static uint64_t switch_slot(struct ha *ha, uint64_t at)
{
	unsigned rate = ha->conf->switch_rate ? ha->conf->switch_rate : 1;

	if (at < ha->switch_free)
		at = ha->switch_free;
	ha->switch_free = at + 1000 / (rate < 1000 ? rate : 1000);
	return at;
}

static struct note *tell(struct ha_out *out, enum note_type type)
{
	struct note *n;

	ha_note(out, type, NULL, &in6addr_any, -1, "");
	n = &out->v[out->n - 1].note;
	n->name = "home-agent";
	return n;
}

/* The operator has named none: those of the home agents list, which serve mobile routers. */
static void name_listed(struct ha *ha, uint64_t now)
{
	struct in6_addr all[ICMP6_MAX_HA];
	unsigned n = agents_list(&ha->agents, true, now, &ha->rng, all);

	for (unsigned i = 0; i < n && ha->others.n < MH_MAX_HAS; i++)
		if (!addr6_eq(&all[i], &ha->conf->address))
			ha->others.ha[ha->others.n++] = all[i];
}

void ha_control_drain(struct ha *ha, const struct mh_has *others, uint64_t now, struct ha_out *out)
{
	struct note *n;

	ha->others = *others;
	if (!others->n)
		name_listed(ha, now);
	ha->draining = true;
	ha->drained = false;
	ha->switch_free = now;
	for (unsigned i = 0; i < ha->conf->n_routers; i++) {
		struct ha_peer *p = &ha->peers[i];

		if (p->b.state != BINDING_BOUND)
			continue;
		p->c.has_wait = SWITCH_FIRST_MS;
		p->c.has_at = switch_slot(ha, now);
		ha_control_arm(ha, p); /* without memory it is served until its lifetime ends */
	}
	n = tell(out, NOTE_HA_DRAINING);
	snprintf(n->text, sizeof(n->text), "%u routers bound; %u other home agents to name",
		ha->n_bound, ha->others.n);
}

void ha_control_undrain(struct ha *ha, struct ha_out *out)
{
	if (!ha->draining)
		return;
	ha->draining = false;
	for (unsigned i = 0; i < ha->conf->n_routers; i++) {
		ha->peers[i].c.has_at = UINT64_MAX;
		ha_control_arm(ha, &ha->peers[i]);
	}
	tell(out, NOTE_HA_SERVING);
}

void ha_control_drained(struct ha *ha, struct ha_out *out)
{
	if (!ha->draining || ha->drained || ha->n_bound)
		return;
	ha->drained = true;
	tell(out, NOTE_HA_DRAINED);
}

static void has_due(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	ha_control_message(out, p, MH_HAS)->m.has = ha->others;
	ha->counters[HA_C_has_tx]++;
	p->c.has_at = switch_slot(ha, now + p->c.has_wait);
	p->c.has_wait = ha_min(2 * p->c.has_wait, SWITCH_MAX_MS);
}

/* --- all of it --- */

/* Someone says that the router does not know one of the messages; which, the error does not say
 * (RFC 6275 s9.3.3).  It is never protected, so it ends nothing: an indication and a switch are
 * repeated as without an answer, and a router that is heard to know heartbeats goes on getting
 * them. */
static bool receive_error(struct ha *ha, const struct mh_env *e)
{
	struct ha_peer *p = ha_peer_find(ha, &e->m.be.hoa);

	if (e->m.be.status != 2 || !p || p->b.state != BINDING_BOUND ||
		!addr6_eq(&e->src, &p->b.coa) ||
		!(p->c.revoking || p->c.hb_waiting || p->c.has_at != UINT64_MAX))
		return false;
	if (p->c.hb_waiting && !p->c.hb_heard) {
		p->c.hb_at = UINT64_MAX; /* until it registers anew (RFC 5847 s3), or is heard */
		p->c.hb_waiting = false;
		ha_control_arm(ha, p);
	}
	return true;
}

bool ha_control_receive(struct ha *ha, const struct mh_env *e, uint64_t now, struct ha_out *out)
{
	switch (e->m.type) {
	case MH_BR: receive_bra(ha, e, now, out); return true;
	case MH_HB: ha_heartbeat_receive(ha, e, now, out); return true;
	case MH_BE: return receive_error(ha, e);
	}
	return false;
}

void ha_control_tick(struct ha *ha, uint64_t now, struct ha_out *out)
{
	struct heap_node *node;

	while (out->n + MAX_PER_STEP <= HA_MAX_ACTIONS &&
		(node = heap_first(&ha->control_timers)) && node->at <= now) {
		struct ha_peer *p = CONTROL_PEER(node);

		if (p->b.state != BINDING_BOUND) /* a failed tunnel took the binding back */
			ha_control_end(ha, p);
		else if (p->c.bri_at <= now)
			bri_due(ha, p, now, out);
		else if (p->c.has_at <= now)
			has_due(ha, p, now, out);
		else
			ha_heartbeat_due(ha, p, now, out);
		ha_control_arm(ha, p);
	}
}
