/* bul.c - the binding with the home agent (RFC 6275 s11.7, s11.8; RFC 3963 s5.2-5.4): its states,
 * drawn in core.h, moves, time and the operator.  Updates: bul_send.c; answers: bul_answer.c. */
#include "mr/bul.h"

#define CLOSING_TRIES 3

const char *bul_state_str(enum bul_state s)
{
	switch (s) {
	case BUL_IDLE: return "no link";
	case BUL_DISCOVERY: return "looking for a home agent";
	case BUL_REGISTERING: return "registering";
	case BUL_BOUND: return "bound";
	case BUL_RETRY: return "waiting to retry";
	case BUL_REFUSED: return "refused";
	case BUL_REVOKED: return "revoked";
	case BUL_CLOSING: return "closing";
	case BUL_HOME: return "at home";
	}
	return "?";
}

void bul_init(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->send_at = UINT64_MAX;
	b->seq = (uint16_t)mr_random(mr);
	b->last_status = b->then_ha = -1;
	b->implicit = mr->conf->mode == MR_IMPLICIT;
	b->retry_ms = RETRY_FIRST_MS;
}

static void drop_tunnel(struct mr *mr)
{
	if (!mr->bul.tunnel)
		return;
	mr->bul.tunnel = false;
	mr_action(mr, MR_DO_TUNNEL_DROP)->tunnel.id = mr->conf->hoa;
}

void bul_unbind(struct mr *mr)
{
	mr->bul.live = false;
	drop_tunnel(mr);
}

void bul_new_round(struct bul *b)
{
	b->has_tried = 0;
	b->worst = BUL_LATER;
	b->next_ha_at = 0;
}

void bul_begin(struct mr *mr, enum bul_state state)
{
	struct bul *b = &mr->bul;

	b->state = state;
	b->n_sent = 0;
	b->resyncs = 0;
	b->first_tx = true;
	b->timeout_ms = mr->conf->retransmit_ms;
	b->closing_left = CLOSING_TRIES;
}

/* One that is no longer in the list is not asked again. */
static void settle_ha(struct mr *mr)
{
	if (mr->bul.ha < mr->conf->n_has)
		return;
	mr->bul.ha = 0;
	bul_new_round(&mr->bul);
}

void bul_start(struct mr *mr, enum bul_state state)
{
	if (state == BUL_REGISTERING)
		settle_ha(mr);
	mr->bul.rediscover = false;
	bul_begin(mr, state);
	bul_send(mr);
}

void bul_discover(struct mr *mr)
{
	bul_begin(mr, BUL_DISCOVERY);
	mr->bul.rediscover = false;
	mr->bul.send_at = UINT64_MAX;
	mr->bul.then_ha = -1;
	dhaad_start(mr);
}

static void discover(struct mr *mr)
{
	if (mr->conf->n_has)
		mr_note(mr, NOTE_MR_RETRY,
			"none of the home agents would have us: looking for others");
	bul_discover(mr);
}

void bul_discovered(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->state != BUL_DISCOVERY)
		return;
	b->ha = 0;
	bul_new_round(b);
	bul_start(mr, BUL_REGISTERING);
}

void bul_move(struct mr *mr, const struct in6_addr *coa, unsigned uplink)
{
	struct bul *b = &mr->bul;
	bool settled = b->live && b->acked && addr6_eq(&b->bound_coa, coa);

	b->coa = *coa;
	b->uplink = uplink;
	if (b->state == BUL_REFUSED || b->state == BUL_REVOKED || b->state == BUL_CLOSING)
		return;
	/* Who holds the binding is asked first (s11.4.1), if it lives. */
	if (bul_has_holder(mr) && b->ha != b->bound_ha && !mr->control.hb.silent) {
		b->ha = b->bound_ha;
		bul_new_round(b);
	}
	settle_ha(mr);
	if (settled &&
		bul_has_holder(
			mr)) { /* back where the home agent believes us to be: nothing to say */
		bul_begin(mr, BUL_BOUND);
		b->send_at = b->refresh_at;
		bul_put_tunnel(mr);
		return;
	}
	mr_control_moved(mr);
	bool alive = b->live && !mr->control.hb.silent; /* it still forwards to where we were */

	if (!mr->conf->n_has || (b->state == BUL_DISCOVERY && !alive)) {
		discover(mr);
		return;
	}
	if (b->state == BUL_DISCOVERY)
		dhaad_stop(mr);
	bul_start(mr, BUL_REGISTERING);
}

void bul_lost(struct mr *mr)
{
	struct bul *b = &mr->bul;

	dhaad_stop(mr);
	if (b->state == BUL_REFUSED || b->state == BUL_REVOKED || b->state == BUL_CLOSING)
		return;
	b->state = BUL_IDLE;
	b->send_at = UINT64_MAX;
}

void bul_home_ended(struct mr *mr)
{
	struct bul *b = &mr->bul;

	bul_unbind(mr);
	if (b->state == BUL_CLOSING)
		return;
	b->state = BUL_REFUSED;
	b->n_sent = 0;
	b->send_at = UINT64_MAX;
	mr_note(mr, NOTE_MR_REFUSED,
		"the home prefix is no longer valid: give this router another home address, or "
		"run: "
		"nemoctl mr rehome");
}

void bul_closing_timeout(struct mr *mr)
{
	struct bul *b = &mr->bul;

	/* Coming home: as long as the home agent may hold a binding it defends our address. */
	if (b->closing_left == 0 && !(b->live && mr->home.state == ATHOME_RETURNING)) {
		bul_closed(mr, false);
		return;
	}
	bul_send(mr);
}

void bul_return(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->elsewhere = false;
	b->then_ha = -1;
	if (mr->conf->n_has) {
		bul_start(mr, BUL_CLOSING);
		return;
	}
	bul_begin(mr, BUL_HOME); /* none was found yet */
	b->send_at = UINT64_MAX;
	athome_closed(mr, false);
}

void bul_leave_home(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->state == BUL_HOME || (b->state == BUL_CLOSING && !b->closing_exit)) {
		bul_begin(mr, BUL_IDLE);
		b->send_at = UINT64_MAX;
	}
	memset(&b->coa, 0, sizeof(b->coa)); /* any care-of address is a new one */
}

/* --- what control.c decides --- */

void bul_again(struct mr *mr)
{
	if (mr->bul.state == BUL_BOUND)
		bul_start(mr, BUL_REGISTERING);
}

void bul_switch(struct mr *mr, unsigned ha)
{
	struct bul *b = &mr->bul;

	b->ha = ha;
	bul_new_round(b);
	if (mr->home.state == ATHOME_AWAY)
		bul_start(mr, BUL_REGISTERING);
}

void bul_revoked(struct mr *mr, uint64_t wait_ms)
{
	struct bul *b = &mr->bul;

	bul_unbind(mr);
	if (b->state == BUL_CLOSING || b->state == BUL_HOME) /* that goes its way */
		return;
	bul_begin(mr, BUL_REVOKED);
	b->ha = b->bound_ha;
	bul_new_round(b);
	b->retry_ms = RETRY_MAX_MS; /* if it is not allowed then, either */
	b->send_at = mr->now + wait_ms;
}

bool bul_update_at(struct mr *mr, unsigned ha, bool closing, uint16_t *seq, uint64_t *at)
{
	*at = mr->active < 0 ? mr->now + 1000 : bul_next_slot(&mr->bul);
	if (*at > mr->now)
		return false;
	bul_put_update(mr, ha, closing);
	*seq = mr->bul.seq;
	return true;
}

/* --- operator and time --- */

void bul_reload(struct mr *mr, bool changed, bool tunnel)
{
	struct bul *b = &mr->bul;

	if (tunnel)
		bul_put_tunnel(mr);
	switch (b->state) {
	case BUL_IDLE:
	case BUL_HOME: /* these go their way, with whom they have begun */
	case BUL_CLOSING: break;
	case BUL_BOUND:
	case BUL_REGISTERING:
		if (changed)
			bul_start(mr, BUL_REGISTERING);
		break;
	case BUL_DISCOVERY:
		if (mr->discovers)
			break;
		dhaad_stop(mr);
		bul_discovered(mr);
		break;
	case BUL_RETRY:
	case BUL_REFUSED:
	case BUL_REVOKED: bul_restart(mr); break; /* what was wrong may be right now */
	}
}

void bul_restart(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->both_modes_tried = false;
	bul_new_round(b);
	b->retry_ms = RETRY_FIRST_MS;
	if (b->state == BUL_REGISTERING) { /* not at once: a move may be about to be noticed */
		b->timeout_ms = mr->conf->retransmit_ms;
		b->send_at = mr_min(b->send_at, mr->now + UPDATE_RATE_MS);
	} else if (b->state == BUL_REFUSED || b->state == BUL_REVOKED || b->state == BUL_RETRY) {
		b->implicit = mr->conf->mode == MR_IMPLICIT;
		b->ha = bul_has_holder(mr) ? b->bound_ha : 0;
		b->state = BUL_IDLE;
		if (mr->active >= 0 && mr->links[mr->active].current.home)
			athome_arrive(mr, (unsigned)mr->active);
		else if (mr->active >= 0 && mr->discovers)
			discover(mr);
		else if (mr->active >= 0)
			bul_start(mr, BUL_REGISTERING);
	} else if (b->state == BUL_DISCOVERY && mr->active >= 0) {
		dhaad_stop(mr); /* not when the next request is due: now */
		discover(mr);
	}
}

/* A tunnel of an earlier run is in place: it goes on, for at most one lifetime without an answer.
 */
void bul_adopt(struct mr *mr, uint64_t now)
{
	mr->bul.tunnel = mr->bul.live = true;
	mr->bul.ends = now + mr->conf->lifetime_s * 1000ull;
}

void bul_stop(struct mr *mr, bool keep)
{
	struct bul *b = &mr->bul;
	bool known_there = b->live || b->n_sent;

	dhaad_stop(mr);
	if (keep || mr->active < 0 || !known_there) {
		if (!keep)
			drop_tunnel(mr);
		mr_exit(mr, keep);
		return;
	}
	b->closing_exit = true;
	if (b->live)
		b->ha = b->bound_ha;
	bul_start(mr, BUL_CLOSING);
}

/* The timer has reached its cap: the next home agent, or for ever at this rate (s11.7.1). */
static void silence(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (mr->conf->n_has > 1 || mr->discovers) {
		if (!bul_next_ha(mr)) {
			if (b->worst != BUL_LATER) { /* of all the others' answers */
				bul_conclude(mr);
				return;
			}
			if (mr->discovers) {
				discover(mr);
				return;
			}
			bul_new_round(b);
			bul_take_next_ha(mr);
		}
		bul_begin(mr, BUL_REGISTERING);
	}
	bul_send(mr);
	if (b->send_at != UINT64_MAX)
		bul_tell_retry(mr, "no answer", "trying again",
			b->n_sent && b->sent[b->n_sent - 1].at == mr->now ? 0
									  : b->send_at - mr->now);
}

static void timeout(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->send_at = UINT64_MAX;
	switch (b->state) {
	case BUL_BOUND: bul_start(mr, BUL_REGISTERING); break; /* refresh */
	case BUL_RETRY:
		if (b->rediscover)
			discover(mr);
		else
			bul_start(mr, BUL_REGISTERING);
		break;
	case BUL_REVOKED: bul_start(mr, BUL_REGISTERING); break;
	case BUL_CLOSING: bul_closing_timeout(mr); break;
	case BUL_REGISTERING:
		if (b->timeout_ms >= MAX_BINDACK_MS)
			silence(mr);
		else
			bul_send(mr);
		break;
	case BUL_IDLE:
	case BUL_DISCOVERY:
	case BUL_HOME:
	case BUL_REFUSED: break;
	}
}

void bul_tick(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->live && b->ends <= mr->now) {
		bul_unbind(mr);
		mr_note(mr, NOTE_MR_EXPIRED, "the home agent did not answer any refresh");
	}
	if (b->send_at <= mr->now)
		timeout(mr);
}

uint64_t bul_deadline(const struct mr *mr)
{
	const struct bul *b = &mr->bul;

	return b->live ? mr_min(b->ends, b->send_at) : b->send_at;
}
