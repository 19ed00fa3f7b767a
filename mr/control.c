/* control.c - what home agents say of their own accord: revocation (RFC 5846 s10), Home Agent
 * Switch (RFC 5142 s6), and the binding that a former home agent still holds: it is kept there
 * until another one has accepted, then deleted (s6.1: a de-registration is the switch's
 * acknowledgement).
 *
 * Unprotected as they are, these messages count only if they come from the home agent that holds
 * the live binding, by type 2 routing header to our home address, and a switch leads to none but
 * configured home agents: a forged one can annoy, not divert. */
#include "mr/core.h"

#define REVOKED_WAIT_MS  60000  /* before a router asks whether it is allowed again */
#define RESYNC_WAIT_MS   2000   /* the home agent wants a new registration */
#define REVOKED_AGAIN_MS 10000  /* our answer may be lost: the indication comes again until then */
#define LEFT_FIRST_MS    1000   /* INITIAL_BINDACK_TIMEOUT, RFC 6275 s12 */
#define LEFT_MAX_MS      32000  /* MAX_BINDACK_TIMEOUT */
#define TELL_EVERY_MS    300000 /* the same thing */

void mr_control_init(struct mr *mr)
{
	mr->control.hb.ha = MR_NO_HA;
	mr->control.hb.at = UINT64_MAX;
	mr->control.hb.seq = (uint32_t)mr_random(mr);
}

struct mh_env *mr_control_message(struct mr *mr, unsigned ha, uint8_t type)
{
	struct mr_action *a = mr_action(mr, MR_DO_SEND_MH);

	a->uplink = mr->bul.uplink;
	a->mh.src = mr->bul.coa;
	a->mh.dst = mr->conf->has[ha];
	a->mh.hoa = mr->conf->hoa;
	a->mh.m.type = type;
	return &a->mh;
}

static bool holds_binding(const struct mr *mr, unsigned ha)
{
	return mr_bound(mr, mr->now) && ha == mr->bul.bound_ha;
}

/* --- revocation --- */

/* Order of the checks: ours, the RFC has none. */
static uint8_t judge(const struct mh_msg *m)
{
	if (m->br.flags & MH_BR_P)
		return MH_BRA_PROXY;
	/* All bindings of a peer: for proxies only (s5.1). */
	if ((m->br.flags & MH_BR_G) || m->br.code >= 128)
		return MH_BRA_FUNCTION;
	switch (m->br.code) {
	case 0:
	case 1:
	case 5:
	case 6:
	case 7: break;
	default: return MH_BRA_TRIGGER; /* 2..4: handovers between proxies */
	}
	if (m->br.flags & MH_BR_V) /* we have no IPv4 home address */
		return m->o.has_ipv4_hoa ? MH_BRA_NO_BINDING : MH_BRA_IPV4_HOA;
	return MH_BRA_SUCCESS;
}

static void acknowledge(struct mr *mr, const struct mh_env *e, unsigned ha, uint8_t status)
{
	struct mh_env *a = mr_control_message(mr, ha, MH_BR);

	a->m.br = (struct mh_br){
		.type = MH_BRA, .code = status, .seq = e->m.br.seq, .flags = e->m.br.flags};
	mr->counters[MR_C_bri_rx]++;
	if (status >= 128)
		mr->counters[MR_C_bri_refused]++;
}

static void end_binding(struct mr *mr, const struct mh_env *e, unsigned ha)
{
	bool resync = e->m.br.code == MH_BRI_OUT_OF_SYNC;
	uint64_t wait_ms = resync ? RESYNC_WAIT_MS : REVOKED_WAIT_MS;
	struct mr_control *c = &mr->control;

	c->revoked.seq = e->m.br.seq;
	c->revoked.ha = ha;
	c->revoked.until = mr->now + REVOKED_AGAIN_MS;
	c->hb.at = UINT64_MAX;
	bul_revoked(mr, wait_ms);
	mr_note(mr, NOTE_MR_REVOKED,
		"%s (trigger %u); asking again in %u s, or at: nemoctl mr rehome",
		resync ? "the home agent is out of sync" : "the mobile network is cut off",
		e->m.br.code, (unsigned)(wait_ms / 1000));
}

static void receive_revocation(struct mr *mr, const struct mh_env *e, unsigned ha)
{
	const struct mr_control *c = &mr->control;
	uint8_t status;

	if (e->m.br.type != MH_BRI) {
		mr->counters[MR_C_mh_unexpected]++;
	} else if (holds_binding(mr, ha)) {
		status = judge(&e->m);
		acknowledge(mr, e, ha, status); /* first: it leaves while the address is bound */
		if (status == MH_BRA_SUCCESS)
			end_binding(mr, e, ha);
	} else if (mr->now < c->revoked.until && ha == c->revoked.ha &&
		   e->m.br.seq == c->revoked.seq) {
		acknowledge(mr, e, ha, MH_BRA_SUCCESS);
	} else {
		mr->counters[MR_C_mh_foreign]++; /* silence: s10 */
	}
}

/* --- home agent switch --- */

/* The first of the list that is configured (or was found), else the next one, also for an empty
 * list if the configuration names all there are; -1: there is none. */
static int choose(const struct mr *mr, const struct mh_has *list)
{
	unsigned now = mr->bul.bound_ha, n = mr->conf->n_has;

	for (unsigned i = 0; i < list->n; i++)
		for (unsigned k = 0; k < n; k++)
			if (k != now && addr6_eq(&list->ha[i], &mr->conf->has[k]))
				return (int)k;
	return n > 1 ? (int)((now + 1) % n) : -1;
}

static void receive_switch(struct mr *mr, const struct mh_env *e, unsigned ha)
{
	struct bul *b = &mr->bul;
	char text[INET6_ADDRSTRLEN];
	int to;

	if (!holds_binding(mr, ha)) {
		mr->counters[MR_C_mh_foreign]++;
		return;
	}
	mr->counters[MR_C_has_rx]++;
	if (b->state == BUL_CLOSING || b->state == BUL_DISCOVERY ||
		b->ha != b->bound_ha) /* on the way already */
		return;
	if (e->m.has.n == 0 && mr->discovers) { /* s4 */
		mr_note(mr, NOTE_MR_SWITCH, "looking for another home agent");
		bul_discover(mr);
		return;
	}
	to = choose(mr, &e->m.has);
	if (to >= 0) {
		mr_note(mr, NOTE_MR_SWITCH, "registering with home agent %s",
			addr6_str(&mr->conf->has[to], text));
		bul_switch(mr, (unsigned)to);
	} else if (!mr->control.switch_told || mr->now - mr->control.switch_told >= TELL_EVERY_MS) {
		mr->control.switch_told = mr->now;
		mr_note(mr, NOTE_MR_SWITCH, "no other home agent is configured: home_agents");
	}
}

/* --- the binding left behind --- */

/* Nobody else has the binding yet, and who has it is no longer in the list. */
static bool is_kept(const struct mr *mr)
{
	const struct bul *b = &mr->bul;

	return b->live && b->bound_ha >= mr->conf->n_has && b->bound_ha < mr->n_known &&
	       b->ha != b->bound_ha && b->state != BUL_REFUSED && b->state != BUL_REVOKED &&
	       b->state != BUL_CLOSING && b->state != BUL_HOME;
}

static void left_due(struct mr *mr)
{
	struct mr_control *c = &mr->control;
	bool first = !c->left.sent;
	uint16_t seq;

	/* A new registration there takes its place. */
	if (c->left.ends <= mr->now || mr->bul.ha == c->left.ha || (c->left.keep && !is_kept(mr))) {
		c->left.active = false;
		return;
	}
	if (!bul_update_at(mr, c->left.ha, !c->left.keep, &seq, &c->left.at))
		return;
	if (first) {
		c->left.first_seq = seq;
		c->left.sent_at = mr->now;
	}
	if (first && c->left.keep)
		bul_put_tunnel(mr);
	c->left.sent = true;
	c->left.seq = seq;
	c->left.at = mr->now + c->left.wait_ms;
	c->left.wait_ms = mr_min(2 * c->left.wait_ms, LEFT_MAX_MS);
}

static void begin_left(struct mr *mr, bool keep, unsigned ha, uint64_t ends)
{
	struct mr_control *c = &mr->control;

	c->left.active = true;
	c->left.keep = keep;
	c->left.sent = false;
	c->left.ha = ha;
	c->left.ends = ends;
	c->left.wait_ms = LEFT_FIRST_MS;
	left_due(mr);
}

/* It has taken where we are, or has no binding of ours any more. */
static void receive_kept(struct mr *mr, const struct mh_ba *ba)
{
	uint64_t from = mr->control.left.sent_at;
	struct bul *b = &mr->bul;

	if (ba->status >= 128 || ba->lifetime_s == 0) {
		bul_unbind(mr);
		return;
	}
	b->lifetime_s = (uint32_t)mr_min(ba->lifetime_s, mr->conf->lifetime_s);
	b->ends = from + b->lifetime_s * 1000ull;
	b->refresh_at = from + b->lifetime_s * 750ull;
	b->bound_coa = b->coa;
}

static bool receive_left(struct mr *mr, const struct mh_env *e, unsigned ha)
{
	struct mr_control *c = &mr->control;
	uint16_t span = (uint16_t)(c->left.seq - c->left.first_seq);
	char text[INET6_ADDRSTRLEN];

	if (!c->left.active || !c->left.sent || ha != c->left.ha ||
		(uint16_t)(e->m.ba.seq - c->left.first_seq) > span)
		return false;
	c->left.active = false;
	if (c->left.keep)
		receive_kept(mr, &e->m.ba);
	mr_note(mr, c->left.keep && mr->bul.live ? NOTE_MR_REFRESHED : NOTE_MR_LEFT,
		"home agent %s: %s", addr6_str(&mr->conf->has[ha], text),
		mh_status_str(e->m.ba.status))
		->status = e->m.ba.status;
	return true;
}

/* --- all of it --- */

void mr_control_bound(struct mr *mr, bool was_live, unsigned old_ha, uint64_t old_ends)
{
	struct mr_control *c = &mr->control;

	c->revoked.until = 0;
	mr_heartbeat_bound(mr);
	if (c->left.keep || c->left.ha == mr->bul.bound_ha)
		c->left.active = false;
	if (was_live && old_ha != mr->bul.bound_ha)
		begin_left(mr, false, old_ha, old_ends);
}

void mr_control_moved(struct mr *mr)
{
	if (is_kept(mr))
		begin_left(mr, true, mr->bul.bound_ha, mr->bul.ends);
}

bool mr_control_receive(struct mr *mr, const struct mh_env *e)
{
	bool ours = e->m.type == MH_HAS || e->m.type == MH_HB || e->m.type == MH_BR;
	bool for_us = e->rh2 && addr6_eq(&e->hoa, &mr->conf->hoa);
	unsigned ha = 0;

	while (ha < mr->n_known && !addr6_eq(&e->src, &mr->conf->has[ha]))
		ha++;
	if (e->m.type == MH_BE && e->m.be.status == 2 && ha == mr->control.hb.ha &&
		mr->control.hb.waiting && addr6_eq(&e->m.be.hoa, &mr->conf->hoa)) {
		mr_heartbeat_unknown(mr);
		return true;
	}
	if (e->m.type == MH_BA && for_us)
		return receive_left(mr, e, ha);
	if (!ours)
		return false;
	if (ha == mr->n_known || !for_us || mr->active < 0)
		mr->counters[MR_C_mh_foreign]++;
	else if (e->m.type == MH_HAS)
		receive_switch(mr, e, ha);
	else if (e->m.type == MH_HB)
		mr_heartbeat_receive(mr, e, ha);
	else
		receive_revocation(mr, e, ha);
	return true;
}

static uint64_t refresh_kept_at(const struct mr *mr)
{
	return is_kept(mr) && !mr->control.left.active ? mr->bul.refresh_at : UINT64_MAX;
}

void mr_control_tick(struct mr *mr)
{
	if (mr->control.left.active && mr->control.left.at <= mr->now)
		left_due(mr);
	else if (refresh_kept_at(mr) <= mr->now)
		begin_left(mr, true, mr->bul.bound_ha, mr->bul.ends);
	if (mr->control.hb.at <= mr->now)
		mr_heartbeat_tick(mr);
}

uint64_t mr_control_deadline(const struct mr *mr)
{
	const struct mr_control *c = &mr->control;

	return mr_min(c->hb.at, c->left.active ? c->left.at : refresh_kept_at(mr));
}
