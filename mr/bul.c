/* bul.c - the binding with the home agent: sending, retransmitting and refreshing Binding Updates,
 * and what each status leads to (RFC 6275 s11.7, s11.8; RFC 3963 s5.2-5.4).  States: core.h. */
#include "common/core/seq16.h"
#include "mr/core.h"

#define MAX_BINDACK_MS 32000 /* MAX_BINDACK_TIMEOUT, RFC 6275 s12 */
#define UPDATE_RATE_MS 1050  /* MAX_UPDATE_RATE: 3 in one second, and slack for a loaded host */
#define NEXT_HA_MS     1500  /* InitialBindackTimeoutFirstReg, RFC 6275 s11.4.1 */
#define RETRY_FIRST_MS 2000
#define RETRY_MAX_MS   300000
#define CLOSING_TRIES  3

/* What a rejecting status leads to, tried from left to right (RFC 3963 s5.4, RFC 6275 s11.7.3). */
static const struct reaction {
	uint8_t status;
	bool next_ha;    /* another home agent, if there is an untried one */
	bool other_mode; /* explicit <-> implicit, with mode = "auto" */
	bool stop;       /* else: nothing more until an operator acts; false: later again */
} reactions[] = {
	{MH_ST_UNSPECIFIED, false, false, false},
	{MH_ST_PROHIBITED, true, false, false},
	{MH_ST_RESOURCES, true, false, false},
	{MH_ST_NO_HOME_REG, true, false, false},
	{MH_ST_NOT_HOME_SUBNET, true, false, false},
	{MH_ST_NOT_HA, true, false, false},
	{MH_ST_DAD_FAILED, false, false, true}, /* MUST NOT use this home address again */
	{MH_ST_MR_NOT_PERMITTED, true, false, true},
	{MH_ST_INVALID_PREFIX, true, true, true},
	{MH_ST_PREFIX_NOT_AUTHORIZED, true, true, true},
	{MH_ST_FORWARDING_FAILED, true, true, true},
	{MH_ST_INVALID_COA, false, false, false},
};

const char *bul_state_str(enum bul_state s)
{
	switch (s) {
	case BUL_IDLE: return "no link";
	case BUL_REGISTERING: return "registering";
	case BUL_BOUND: return "bound";
	case BUL_RETRY: return "waiting to retry";
	case BUL_REFUSED: return "refused";
	case BUL_CLOSING: return "closing";
	}
	return "?";
}

void bul_init(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->send_at = UINT64_MAX;
	b->seq = (uint16_t)mr_random(mr);
	b->last_status = -1;
	b->implicit = mr->conf->mode == MR_IMPLICIT;
	b->retry_ms = RETRY_FIRST_MS;
}

/* --- sending --- */

void bul_put_tunnel(struct mr *mr)
{
	struct bul *b = &mr->bul;
	const struct link *l = &mr->links[b->uplink];

	if (!b->tunnel || mr->active < 0)
		return;
	struct tunnel *t = &mr_action(mr, MR_DO_TUNNEL_PUT)->tunnel;

	t->id = mr->conf->hoa;
	t->local = b->coa;
	t->remote = mr->conf->has[b->bound_ha]; /* 'ha' may be one that is only being tried */
	if (l->has_old)
		t->old_local = l->old.coa;
	t->oif = b->uplink; /* the edge makes an interface index of it */
	t->n_routes = 1;    /* ::/0 */
	t->inner[t->n_inner++] = prefix6_host(&mr->conf->hoa);
	for (unsigned i = 0; i < mr->conf->n_networks; i++)
		t->inner[t->n_inner++] = mr->conf->networks[i].prefix;
}

static void drop_tunnel(struct mr *mr)
{
	if (!mr->bul.tunnel)
		return;
	mr->bul.tunnel = false;
	mr_action(mr, MR_DO_TUNNEL_DROP)->tunnel.id = mr->conf->hoa;
}

static void unbind(struct mr *mr)
{
	mr->bul.live = false;
	drop_tunnel(mr);
}

static void fill_update(const struct mr *mr, struct mh_env *e)
{
	const struct bul *b = &mr->bul;
	bool closing = b->state == BUL_CLOSING;

	e->src = b->coa;
	e->dst = mr->conf->has[b->ha];
	e->hoa = mr->conf->hoa;
	e->m.type = MH_BU;
	e->m.bu.seq = b->seq;
	e->m.bu.flags = MH_BU_A | MH_BU_H | MH_BU_R;
	e->m.bu.lifetime_s = closing ? 0 : mr->conf->lifetime_s;
	e->m.o.alt_coa = b->coa; /* MUST: ESP does not protect the IPv6 header (s11.7.1) */
	if (!b->implicit && !closing)
		for (unsigned i = 0; i < mr->conf->n_networks; i++)
			e->m.o.mnp[e->m.o.n_mnp++] = mr->conf->networks[i].prefix;
}

static void transmit(struct mr *mr)
{
	struct bul *b = &mr->bul;
	struct mr_action *a = mr_action(mr, MR_DO_SEND_MH);

	b->seq++;
	a->uplink = b->uplink;
	fill_update(mr, &a->mh);
	if (b->n_sent == BUL_MAX_SENT)
		memmove(&b->sent[0], &b->sent[1], --b->n_sent * sizeof(b->sent[0]));
	b->sent[b->n_sent].seq = b->seq;
	b->sent[b->n_sent++].at = mr->now;
	memmove(&b->tx[0], &b->tx[1], 2 * sizeof(b->tx[0]));
	b->tx[2] = mr->now;
	if (b->n_tx < 3)
		b->n_tx++;
	mr->counters[MR_C_bu_tx]++;
	if (b->state == BUL_CLOSING) /* one that the limit holds back is no try */
		b->closing_left--;
	if (!b->first_tx)
		mr->counters[MR_C_bu_retransmitted]++;
	else
		bul_put_tunnel(mr); /* after the update: the home agent then knows the new source */
	b->first_tx = false;
	b->acked = false;
	b->send_at = mr->now + b->timeout_ms;
	b->timeout_ms = mr_min(2 * b->timeout_ms, MAX_BINDACK_MS);
}

/* Sends now, or as soon as the limit of RFC 6275 s11.8 allows. */
static void send_update(struct mr *mr)
{
	struct bul *b = &mr->bul;
	uint64_t at = b->n_tx == 3 ? b->tx[0] + UPDATE_RATE_MS : 0;

	if (mr->active < 0 && b->state != BUL_CLOSING) {
		b->send_at = UINT64_MAX;
		return;
	}
	if (at > mr->now) {
		mr->counters[MR_C_bu_delayed]++;
		b->send_at = at;
		return;
	}
	transmit(mr);
}

/* Starts the back-off anew; numbers sent before don't count any more. */
static void begin(struct mr *mr, enum bul_state state)
{
	struct bul *b = &mr->bul;

	b->state = state;
	b->n_sent = 0;
	b->first_tx = true;
	b->timeout_ms = mr->conf->retransmit_ms;
	b->closing_left = CLOSING_TRIES;
}

static void start(struct mr *mr, enum bul_state state)
{
	begin(mr, state);
	send_update(mr);
}

void bul_move(struct mr *mr, const struct in6_addr *coa, unsigned uplink)
{
	struct bul *b = &mr->bul;
	bool settled = b->live && b->acked && addr6_eq(&b->bound_coa, coa);

	b->coa = *coa;
	b->uplink = uplink;
	if (b->state == BUL_REFUSED || b->state == BUL_CLOSING)
		return;
	if (settled) { /* back where the home agent believes us to be: nothing to say */
		begin(mr, BUL_BOUND);
		b->send_at = b->refresh_at;
		bul_put_tunnel(mr);
		return;
	}
	start(mr, BUL_REGISTERING);
}

void bul_lost(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->state == BUL_REFUSED || b->state == BUL_CLOSING)
		return;
	b->state = BUL_IDLE;
	b->send_at = UINT64_MAX;
}

/* --- the answer --- */

static void later(struct mr *mr, const char *what, uint64_t wait_ms)
{
	struct bul *b = &mr->bul;
	char ha[INET6_ADDRSTRLEN];
	struct note *n;

	begin(mr, BUL_RETRY);
	b->send_at = mr->now + wait_ms;
	n = mr_note(mr, NOTE_MR_RETRY, "%s: %s; next try in %.1f s, %s mode, home agent %s",
		mh_status_str((unsigned)b->last_status), what, (double)wait_ms / 1000,
		b->implicit ? "implicit" : "explicit", addr6_str(&mr->conf->has[b->ha], ha));
	n->status = b->last_status;
}

static void refuse(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->state = BUL_REFUSED;
	b->n_sent = 0;
	b->send_at = UINT64_MAX;
	unbind(mr);
	mr_note(mr, NOTE_MR_REFUSED,
		"%s: no more registrations for this home address; after correcting the "
		"configuration run: nemoctl mr rehome",
		mh_status_str((unsigned)b->last_status))
		->status = b->last_status;
}

static bool next_ha(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->has_tried + 1 >= mr->conf->n_has)
		return false;
	b->has_tried++;
	b->ha = (b->ha + 1) % mr->conf->n_has;
	return true;
}

static void react(struct mr *mr, uint8_t status)
{
	struct bul *b = &mr->bul;
	struct reaction r = reactions[0];

	for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++)
		if (reactions[i].status == status)
			r = reactions[i];
	if (r.stop) /* RFC 3963 s5.4.2: assume that the home agent holds no binding */
		unbind(mr);
	if (r.next_ha && next_ha(mr)) {
		later(mr, "trying the next home agent", NEXT_HA_MS);
		return;
	}
	if (r.other_mode && mr->conf->mode == MR_AUTO && !b->both_modes_tried) {
		b->both_modes_tried = true;
		b->implicit = !b->implicit;
		b->has_tried = 0;
		later(mr, "trying the other mode", NEXT_HA_MS);
		return;
	}
	if (r.stop) {
		refuse(mr);
		return;
	}
	uint64_t wait = b->retry_ms - b->retry_ms / 8 + mr_random(mr) % (b->retry_ms / 4);

	b->retry_ms = mr_min(2 * b->retry_ms, RETRY_MAX_MS);
	if (mr->conf->n_has > 1) {
		b->has_tried = 0;
		b->ha = (b->ha + 1) % mr->conf->n_has;
	}
	later(mr, "backing off", wait);
}

static void closed(struct mr *mr, bool answered)
{
	struct bul *b = &mr->bul;

	b->send_at = UINT64_MAX;
	unbind(mr);
	mr_note(mr, NOTE_MR_CLOSED, "%s",
		answered ? "the home agent has removed the binding"
			 : "no answer to the de-registration; the binding ends with its lifetime");
	if (b->closing_exit) {
		b->state = BUL_IDLE;
		mr_exit(mr, false);
	} else if (b->elsewhere) {
		b->elsewhere = false;
		if (!next_ha(mr) && mr->conf->n_has > 1)
			b->ha = (b->ha + 1) % mr->conf->n_has;
		later(mr, "this home agent does not serve mobile routers", RETRY_MAX_MS / 5);
	} else {
		start(mr, BUL_REGISTERING);
	}
}

static void closing_timeout(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->closing_left == 0) {
		closed(mr, false);
		return;
	}
	send_update(mr);
}

static void accepted(struct mr *mr, const struct mh_msg *m, uint64_t sent_at)
{
	struct bul *b = &mr->bul;
	bool was_live = b->live, same = addr6_eq(&b->bound_coa, &b->coa);
	uint32_t asked = mr->conf->lifetime_s & ~3u; /* on the wire in units of 4 s */
	uint32_t granted = m->ba.lifetime_s < asked ? m->ba.lifetime_s : asked;
	uint64_t refresh_ms = granted * 1000ull * 3 / 4;
	struct note *n;

	/* The granted time runs from the sending of the update (s11.7.3). */
	b->ends = sent_at + granted * 1000ull;
	b->lifetime_s = granted;
	if (m->o.refresh_s && m->o.refresh_s < granted)
		refresh_ms = mr_min(refresh_ms, m->o.refresh_s * 1000ull);
	refresh_ms -= mr_random(mr) % (refresh_ms / 20 + 1); /* not all routers at once */
	begin(mr, BUL_BOUND);
	b->refresh_at = b->send_at = sent_at + refresh_ms;
	b->live = b->acked = true;
	b->bound_coa = b->coa;
	b->has_tried = 0;
	b->both_modes_tried = false;
	b->retry_ms = RETRY_FIRST_MS;
	b->tunnel = true;
	b->bound_ha = b->ha;
	bul_put_tunnel(mr); /* at refreshes too: mends what a failed put left undone */
	n = mr_note(mr, was_live && same ? NOTE_MR_REFRESHED : NOTE_MR_REGISTERED, "%s",
		mh_status_str(m->ba.status));
	n->status = m->ba.status;
	n->lifetime_s = granted;
}

static void receive_ack(struct mr *mr, const struct mh_msg *m)
{
	struct bul *b = &mr->bul;
	uint64_t sent_at = 0;
	bool found = false;

	mr->counters[MR_C_ba_rx]++;
	for (unsigned i = 0; i < b->n_sent; i++) {
		if (b->sent[i].seq == m->ba.seq) {
			found = true;
			sent_at = b->sent[i].at;
		}
	}
	/* 135 brings the home agent's number instead of ours (s11.7.3).  If our last one is newer
	 * than that, it is about an earlier update, and to go back would use numbers twice
	 * (s11.7.2). */
	if (m->ba.status == MH_ST_SEQ_WINDOW)
		found = !seq16_newer(b->seq, m->ba.seq);
	if (b->n_sent == 0 || !found) {
		mr->counters[MR_C_ba_unmatched]++;
		return;
	}
	b->last_status = m->ba.status;
	if (m->ba.status >= 128)
		mr->counters[MR_C_ba_rejected]++;
	if (m->ba.status == MH_ST_SEQ_WINDOW) {
		b->seq = m->ba.seq;
		b->n_sent = 0;
		if (b->state == BUL_CLOSING)
			closing_timeout(mr); /* counts as a try: the end must come */
		else
			send_update(mr);
	} else if (b->state == BUL_CLOSING) {
		closed(mr, true);
	} else if (m->ba.status == MH_ST_TYPE_CHANGE) {
		start(mr, BUL_CLOSING);
	} else if (m->ba.status >= 128) {
		react(mr, m->ba.status);
	} else if (m->ba.lifetime_s == 0) { /* accepted, and gone at once: of no use */
		unbind(mr);
		react(mr, MH_ST_UNSPECIFIED);
	} else if (!(m->ba.flags & MH_BA_R)) { /* RFC 3963 s5.3: de-register, then look elsewhere */
		b->elsewhere = true;
		start(mr, BUL_CLOSING);
	} else {
		accepted(mr, m, sent_at);
	}
}

static void receive_error(struct mr *mr, const struct mh_msg *m)
{
	struct bul *b = &mr->bul;

	if (m->be.status == 1 && b->state == BUL_BOUND) /* unknown binding: register anew */
		start(mr, BUL_REGISTERING);
}

void bul_receive(struct mr *mr, const struct mh_env *e)
{
	const struct bul *b = &mr->bul;
	bool for_us = addr6_eq(&e->hoa, &mr->conf->hoa);

	/* A Binding Error comes without a type 2 routing header (RFC 6275 s9.3.3). */
	if (!addr6_eq(&e->src, &mr->conf->has[b->ha]) || (!for_us && e->m.type != MH_BE)) {
		mr->counters[MR_C_mh_foreign]++;
		return;
	}
	switch (e->m.type) {
	case MH_BA: receive_ack(mr, &e->m); break;
	case MH_BE: receive_error(mr, &e->m); break;
	case MH_BRR:
		if (b->state == BUL_BOUND)
			start(mr, BUL_REGISTERING);
		break;
	default: mr->counters[MR_C_mh_unexpected]++; break;
	}
}

/* --- operator and time --- */

void bul_restart(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->both_modes_tried = false;
	b->has_tried = 0;
	b->retry_ms = RETRY_FIRST_MS;
	if (b->state == BUL_REGISTERING) { /* not at once: a move may be about to be noticed */
		b->timeout_ms = mr->conf->retransmit_ms;
		b->send_at = mr_min(b->send_at, mr->now + UPDATE_RATE_MS);
	} else if (b->state == BUL_REFUSED || b->state == BUL_RETRY) {
		b->implicit = mr->conf->mode == MR_IMPLICIT;
		b->ha = 0;
		b->state = BUL_IDLE;
		if (mr->active >= 0)
			start(mr, BUL_REGISTERING);
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

	if (keep || mr->active < 0 || !known_there) {
		if (!keep)
			drop_tunnel(mr);
		mr_exit(mr, keep);
		return;
	}
	b->closing_exit = true;
	if (b->live)
		b->ha = b->bound_ha;
	start(mr, BUL_CLOSING);
}

static void timeout(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->send_at = UINT64_MAX;
	switch (b->state) {
	case BUL_BOUND: start(mr, BUL_REGISTERING); break; /* refresh */
	case BUL_RETRY: start(mr, BUL_REGISTERING); break;
	case BUL_CLOSING: closing_timeout(mr); break;
	case BUL_REGISTERING:
		/* The timer has reached its cap: the next home agent, if there is one (s11.7.1). */
		if (b->timeout_ms >= MAX_BINDACK_MS && mr->conf->n_has > 1) {
			b->ha = (b->ha + 1) % mr->conf->n_has;
			begin(mr, BUL_REGISTERING);
		}
		send_update(mr);
		break;
	case BUL_IDLE:
	case BUL_REFUSED: break;
	}
}

void bul_tick(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->live && b->ends <= mr->now) {
		unbind(mr);
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
