/* bul.c - the binding with the home agent: sending, retransmitting and refreshing Binding Updates,
 * and what each status leads to (RFC 6275 s11.7, s11.8; RFC 3963 s5.2-5.4).  States: core.h. */
#include "common/core/seq16.h"
#include "mr/core.h"

#define MAX_BINDACK_MS 32000 /* MAX_BINDACK_TIMEOUT, RFC 6275 s12 */
#define UPDATE_RATE_MS 1050  /* MAX_UPDATE_RATE: 3 in one second, and slack for a loaded host */
#define ASKED_MS       1000  /* an update this old is the answer to a request to send one */
#define RETRY_FIRST_MS 2000
#define RETRY_MAX_MS   300000
#define CLOSING_TRIES  3
#define MAX_RESYNCS    3 /* in a row */

/* What a rejecting status leads to in explicit and in implicit mode (RFC 3963 s5.4, RFC 6275
 * s11.7.3): is another home agent asked, and if none of them accepts either? */
static const struct reaction {
	uint8_t status;
	struct {
		bool next_ha;
		enum bul_verdict verdict;
	} in[2]; /* [explicit], [implicit] */
} reactions[] = {
	{MH_ST_UNSPECIFIED, {{false, BUL_LATER}, {false, BUL_LATER}}},
	{MH_ST_PROHIBITED, {{true, BUL_LATER}, {true, BUL_LATER}}},
	{MH_ST_RESOURCES, {{true, BUL_LATER}, {true, BUL_LATER}}},
	{MH_ST_NO_HOME_REG, {{true, BUL_LATER}, {true, BUL_LATER}}},
	{MH_ST_NOT_HOME_SUBNET, {{true, BUL_LATER}, {true, BUL_LATER}}},
	{MH_ST_NOT_HA, {{true, BUL_LATER}, {true, BUL_LATER}}},
	{MH_ST_DAD_FAILED, {{false, BUL_STOP}, {false, BUL_STOP}}}, /* MUST NOT use it again */
	{MH_ST_MR_NOT_PERMITTED, {{true, BUL_STOP}, {true, BUL_STOP}}},
	{MH_ST_INVALID_PREFIX, {{true, BUL_OTHER_MODE}, {false, BUL_OTHER_MODE}}},
	{MH_ST_PREFIX_NOT_AUTHORIZED, {{true, BUL_OTHER_MODE}, {false, BUL_OTHER_MODE}}},
	{MH_ST_FORWARDING_FAILED, {{false, BUL_OTHER_MODE}, {true, BUL_OTHER_MODE}}},
	/* A bit that fell over on the way, more likely than a key: ours made the answer right. */
	{MH_ST_AUTH_FAIL, {{false, BUL_LATER}, {false, BUL_LATER}}},
	{MH_ST_MESG_ID_REQUIRED, {{true, BUL_LATER}, {true, BUL_LATER}}},
	{MH_ST_INVALID_COA, {{false, BUL_LATER}, {false, BUL_LATER}}},
};

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
	b->last_status = -1;
	b->implicit = mr->conf->mode == MR_IMPLICIT;
	b->retry_ms = RETRY_FIRST_MS;
}

/* --- sending --- */

void bul_put_tunnel(struct mr *mr)
{
	struct bul *b = &mr->bul;
	const struct link *l = &mr->links[b->uplink];

	if (!b->tunnel || mr->active < 0 || !mr->conf->n_has || mr->home.state != ATHOME_AWAY)
		return;
	struct tunnel *t = &mr_action(mr, MR_DO_TUNNEL_PUT)->tunnel;
	const struct prefix6 *p;

	t->id = mr->conf->hoa;
	t->local = b->coa;
	t->remote = mr->conf->has[b->bound_ha]; /* 'ha' may be one that is only being tried */
	if (l->has_old)
		t->old_local = l->old.coa;
	t->oif = b->uplink; /* the edge makes an interface index of it */
	t->n_routes = 1;    /* ::/0 */
	t->inner[t->n_inner++] = prefix6_host(&mr->conf->hoa);
	for (unsigned i = 0; (p = mr_behind(mr->conf, i)); i++)
		t->inner[t->n_inner++] = *p;
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

/* Not more than care-of and home address have left (s11.7.1, s11.4.2); in units of 4 s, and never
 * 0. */
static uint32_t lifetime_s(const struct mr *mr)
{
	uint64_t until = mr_min(
		mr->links[mr->bul.uplink].current.prefix_until, mr->mps.valid_until);
	uint64_t left_s = until > mr->now ? (until - mr->now) / 1000 : 0;

	return left_s < 4 ? 4 : (uint32_t)mr_min(mr->conf->lifetime_s, left_s) & ~3u;
}

static void fill_update(const struct mr *mr, unsigned ha, bool closing, struct mh_env *e)
{
	const struct bul *b = &mr->bul;
	bool away = mr->home.state == ATHOME_AWAY;

	e->src = b->coa;
	e->dst = mr->conf->has[ha];
	if (away) /* at home it is the source (s11.5.5) */
		e->hoa = mr->conf->hoa;
	e->m.type = MH_BU;
	e->m.bu.seq = b->seq;
	e->m.bu.flags = MH_BU_A | MH_BU_H | MH_BU_R;
	e->m.bu.lifetime_s = closing ? 0 : lifetime_s(mr);
	if (away) /* MUST: ESP does not protect the IPv6 header (s11.7.1) */
		e->m.o.alt_coa = b->coa;
	if (!b->implicit && !closing)
		for (unsigned i = 0; i < mr->conf->n_networks; i++)
			e->m.o.mnp[e->m.o.n_mnp++] = mr->conf->networks[i].prefix;
}

/* The lifetime asked for. */
static uint32_t put_update(struct mr *mr, unsigned ha, bool closing)
{
	struct bul *b = &mr->bul;
	struct mr_action *a;

	athome_send(mr);
	a = mr_action(mr, MR_DO_SEND_MH);
	b->seq++;
	a->uplink = b->uplink;
	fill_update(mr, ha, closing, &a->mh);
	memmove(&b->tx[0], &b->tx[1], 2 * sizeof(b->tx[0]));
	b->tx[2] = mr->now;
	if (b->n_tx < 3)
		b->n_tx++;
	mr->counters[MR_C_bu_tx]++;
	return a->mh.m.bu.lifetime_s;
}

/* When the limit of RFC 6275 s11.8 allows the next update. */
static uint64_t next_slot(const struct bul *b)
{
	return b->n_tx == 3 ? b->tx[0] + UPDATE_RATE_MS : 0;
}

static void transmit(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->n_sent == BUL_MAX_SENT)
		memmove(&b->sent[0], &b->sent[1], --b->n_sent * sizeof(b->sent[0]));
	b->sent[b->n_sent].lifetime_s = put_update(mr, b->ha, b->state == BUL_CLOSING);
	b->sent[b->n_sent].seq = b->seq;
	b->sent[b->n_sent++].at = mr->now;
	if (b->state == BUL_CLOSING && b->closing_left) /* one held back by the limit is no try */
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
	uint64_t slot = next_slot(b), at = slot;

	if (b->state != BUL_CLOSING && b->next_ha_at > at) /* s11.4.1, moves included */
		at = b->next_ha_at;
	if (mr->active < 0 && b->state != BUL_CLOSING) {
		b->send_at = UINT64_MAX;
		return;
	}
	if (at > mr->now) {
		mr->counters[MR_C_bu_delayed] += slot > mr->now;
		b->send_at = at;
		return;
	}
	transmit(mr);
}

/* Every home agent may be asked again. */
static void new_round(struct bul *b)
{
	b->has_tried = 0;
	b->worst = BUL_LATER;
	b->next_ha_at = 0;
}

/* Starts the back-off anew; numbers sent before don't count any more. */
static void begin(struct mr *mr, enum bul_state state)
{
	struct bul *b = &mr->bul;

	b->state = state;
	b->n_sent = 0;
	b->resyncs = 0;
	b->first_tx = true;
	b->timeout_ms = mr->conf->retransmit_ms;
	b->closing_left = CLOSING_TRIES;
}

static void start(struct mr *mr, enum bul_state state)
{
	mr->bul.rediscover = false;
	begin(mr, state);
	send_update(mr);
}

void bul_discover(struct mr *mr)
{
	begin(mr, BUL_DISCOVERY);
	mr->bul.rediscover = false;
	mr->bul.send_at = UINT64_MAX;
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
	new_round(b);
	start(mr, BUL_REGISTERING);
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
	if (b->live && b->ha != b->bound_ha && !mr->control.hb.silent) {
		b->ha = b->bound_ha;
		new_round(b);
	}
	if (settled) { /* back where the home agent believes us to be: nothing to say */
		begin(mr, BUL_BOUND);
		b->send_at = b->refresh_at;
		bul_put_tunnel(mr);
		return;
	}
	bool alive = b->live && !mr->control.hb.silent; /* it still forwards to where we were */

	if (!mr->conf->n_has || (b->state == BUL_DISCOVERY && !alive)) {
		discover(mr);
		return;
	}
	if (b->state == BUL_DISCOVERY)
		dhaad_stop(mr);
	start(mr, BUL_REGISTERING);
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

/* --- the answer --- */

static void tell_retry(struct mr *mr, const char *why, const char *what, uint64_t wait_ms)
{
	struct bul *b = &mr->bul;
	char ha[INET6_ADDRSTRLEN];

	mr_note(mr, NOTE_MR_RETRY, "%s: %s; next try in %.1f s, %s mode, home agent %s", why, what,
		(double)wait_ms / 1000, b->implicit ? "implicit" : "explicit",
		addr6_str(&mr->conf->has[b->ha], ha))
		->status = b->last_status;
}

static const char *last_answer(const struct mr *mr)
{
	return mh_status_str((unsigned)mr->bul.last_status);
}

static void later(struct mr *mr, const char *what, uint64_t wait_ms)
{
	begin(mr, BUL_RETRY);
	mr->bul.send_at = mr->now + wait_ms;
	tell_retry(mr, last_answer(mr), what, wait_ms);
}

/* RFC 3963 s5.4.2; what advertises them is the operator's. */
static void advertise(struct mr *mr, bool good)
{
	struct bul *b = &mr->bul;

	if (b->withdrawn == !good)
		return;
	b->withdrawn = !good;
	mr_action(mr, MR_DO_PREFIXES)->withdraw = !good;
}

static void refuse(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->state = BUL_REFUSED;
	b->n_sent = 0;
	b->send_at = UINT64_MAX;
	if (b->prefix_refused) /* s5.4.2 */
		advertise(mr, false);
	mr_note(mr, NOTE_MR_REFUSED,
		"%s: no more registrations for this home address%s; after correcting the "
		"configuration run: nemoctl mr rehome",
		last_answer(mr), b->prefix_refused ? ", its prefixes must not be advertised" : "")
		->status = b->last_status;
}

void bul_home_ended(struct mr *mr)
{
	struct bul *b = &mr->bul;

	unbind(mr);
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

/* The one after this, when this one has had its time (s11.4.1). */
static void take_next_ha(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->ha = (b->ha + 1) % mr->conf->n_has;
	b->next_ha_at = b->tx[2] + mr->conf->next_ha_ms;
}

static bool next_ha(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->has_tried + 1 >= mr->conf->n_has)
		return false;
	b->has_tried++;
	take_next_ha(mr);
	return true;
}

static void back_off(struct mr *mr)
{
	struct bul *b = &mr->bul;
	uint64_t wait = b->retry_ms - b->retry_ms / 8 + mr_random(mr) % (b->retry_ms / 4);

	b->retry_ms = mr_min(2 * b->retry_ms, RETRY_MAX_MS);
	b->rediscover = mr->discovers && b->has_tried + 1 >= mr->conf->n_has;
	new_round(b);
	if (b->live) /* it is asked first (s11.4.1) */
		b->ha = b->bound_ha;
	else if (mr->conf->n_has > 1)
		take_next_ha(mr);
	later(mr, b->last_status < 128 ? "granted no time; backing off" : "backing off", wait);
}

/* No home agent accepts: the gravest answer of them decides, so that a milder one of another does
 * not make it ask for ever what it must not ask again (RFC 3963 s5.4). */
static void conclude(struct mr *mr)
{
	struct bul *b = &mr->bul;
	enum bul_verdict worst = b->worst;

	if (worst == BUL_OTHER_MODE && mr->conf->mode == MR_AUTO && !b->both_modes_tried) {
		b->both_modes_tried = true;
		b->implicit = !b->implicit;
		new_round(b);
		later(mr, "trying the other mode", mr->conf->next_ha_ms);
		return;
	}
	if (worst == BUL_LATER)
		back_off(mr);
	else
		refuse(mr);
}

static void react(struct mr *mr, uint8_t status)
{
	struct bul *b = &mr->bul;
	const struct reaction *r = &reactions[0];

	for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++)
		if (reactions[i].status == status)
			r = &reactions[i];
	if (!b->implicit &&
		(status == MH_ST_INVALID_PREFIX || status == MH_ST_PREFIX_NOT_AUTHORIZED))
		b->prefix_refused = true;
	if (r->in[b->implicit].verdict > b->worst)
		b->worst = r->in[b->implicit].verdict;
	/* RFC 3963 s5.4.2: assume that this home agent holds no binding */
	if (r->in[b->implicit].verdict != BUL_LATER && b->ha == b->bound_ha)
		unbind(mr);
	if (r->in[b->implicit].next_ha && next_ha(mr))
		later(mr, "trying the next home agent", mr->conf->next_ha_ms);
	else
		conclude(mr);
}

static void closed(struct mr *mr, bool answered)
{
	struct bul *b = &mr->bul;
	bool home = mr->home.state != ATHOME_AWAY;

	b->send_at = UINT64_MAX;
	if (b->ha == b->bound_ha || home)
		unbind(mr);
	mr_note(mr, NOTE_MR_CLOSED, "%s",
		answered ? "the home agent has removed the binding"
			 : "no answer to the de-registration; the binding ends with its lifetime");
	if (b->closing_exit) {
		b->state = BUL_IDLE;
		mr_exit(mr, false);
	} else if (home) {
		begin(mr, BUL_HOME);
		athome_closed(mr, answered && b->last_status < 128);
	} else if (b->elsewhere) {
		b->elsewhere = false;
		if (!next_ha(mr)) {
			b->rediscover = mr->discovers; /* RFC 3963 s5.3 */
			take_next_ha(mr);
		}
		later(mr, "this home agent does not serve mobile routers", RETRY_MAX_MS / 5);
	} else {
		start(mr, BUL_REGISTERING);
	}
}

static void closing_timeout(struct mr *mr)
{
	struct bul *b = &mr->bul;

	/* Coming home: as long as the home agent may hold a binding it defends our address. */
	if (b->closing_left == 0 && !(b->live && mr->home.state == ATHOME_RETURNING)) {
		closed(mr, false);
		return;
	}
	send_update(mr);
}

void bul_return(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->elsewhere = false;
	if (mr->conf->n_has) {
		start(mr, BUL_CLOSING);
		return;
	}
	begin(mr, BUL_HOME); /* none was found yet */
	b->send_at = UINT64_MAX;
	athome_closed(mr, false);
}

void bul_leave_home(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->state == BUL_HOME || (b->state == BUL_CLOSING && !b->closing_exit)) {
		begin(mr, BUL_IDLE);
		b->send_at = UINT64_MAX;
	}
	memset(&b->coa, 0, sizeof(b->coa)); /* any care-of address is a new one */
}

static void tell_accepted(struct mr *mr, const struct mh_msg *m, uint32_t asked_s, bool again)
{
	char less[48] = "", advice[48] = "";
	struct note *n;

	if (mr->bul.lifetime_s < asked_s)
		snprintf(less, sizeof(less), ", for %u s instead of %u s", mr->bul.lifetime_s,
			asked_s);
	if (m->o.refresh_s && m->o.refresh_s < mr->bul.lifetime_s)
		snprintf(advice, sizeof(advice), "; to be refreshed after %u s", m->o.refresh_s);
	n = mr_note(mr, again ? NOTE_MR_REFRESHED : NOTE_MR_REGISTERED, "%s%s%s",
		mh_status_str(m->ba.status), less, advice);
	n->status = m->ba.status;
	n->lifetime_s = mr->bul.lifetime_s;
}

static void accepted(struct mr *mr, const struct mh_msg *m, const struct bul_sent *sent)
{
	struct bul *b = &mr->bul;
	bool was_live = b->live;
	bool again = was_live && addr6_eq(&b->bound_coa, &b->coa) && b->bound_ha == b->ha;
	unsigned old_ha = b->bound_ha;
	uint64_t old_ends = b->ends;
	uint32_t granted = (uint32_t)mr_min(m->ba.lifetime_s, sent->lifetime_s);
	uint64_t sent_at = sent->at, refresh_ms = granted * 1000ull * 3 / 4;
	uint32_t asked_s = sent->lifetime_s;

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
	new_round(b);
	b->both_modes_tried = b->prefix_refused = false;
	b->retry_ms = RETRY_FIRST_MS;
	b->tunnel = true;
	advertise(mr, true);
	b->bound_ha = b->ha;
	bul_put_tunnel(mr); /* at refreshes too: mends what a failed put left undone */
	tell_accepted(mr, m, asked_s, again);
	mr_control_bound(mr, was_live, old_ha, old_ends);
	mps_bound(mr, m->ba.status);
}

/* The update that an acknowledgement answers; NULL: none of those outstanding. */
static const struct bul_sent *answered(const struct bul *b, const struct mh_ba *ba)
{
	/* 135 brings the home agent's number instead of ours (s11.7.3).  If our last one is newer
	 * than that, it is about an earlier update, and to go back would use numbers twice
	 * (s11.7.2). */
	if (ba->status == MH_ST_SEQ_WINDOW)
		return b->n_sent && !seq16_newer(b->seq, ba->seq) ? &b->sent[b->n_sent - 1] : NULL;
	for (unsigned i = 0; i < b->n_sent; i++)
		if (b->sent[i].seq == ba->seq)
			return &b->sent[i];
	return NULL;
}

/* The home agent's number, or its clock, is ahead of ours: with the next one at once. */
static void catch_up(struct mr *mr, uint16_t seq, const char *what)
{
	struct bul *b = &mr->bul;

	b->seq = seq;
	b->n_sent = 0;
	if (b->state == BUL_CLOSING) {
		closing_timeout(mr); /* counts as a try: the end must come */
		return;
	}
	send_update(mr);
	if (b->send_at != UINT64_MAX)
		tell_retry(mr, last_answer(mr), what, b->n_sent ? 0 : b->send_at - mr->now);
}

/* De-registers, to begin again or (elsewhere) at another home agent (RFC 3963 s5.2, s5.3). */
static void leave(struct mr *mr, const char *why, bool elsewhere)
{
	mr->bul.elsewhere = elsewhere;
	tell_retry(mr, why, "de-registering first", 0);
	start(mr, BUL_CLOSING);
}

static void receive_ack(struct mr *mr, const struct mh_msg *m)
{
	struct bul *b = &mr->bul;
	const struct bul_sent *sent = answered(b, &m->ba);

	mr->counters[MR_C_ba_rx]++;
	if (m->o.auth_misplaced) { /* s11.7.3, s6.2.7 */
		mr->counters[MR_C_ba_auth_place]++;
		return;
	}
	if (!sent) {
		mr->counters[MR_C_ba_unmatched]++;
		return;
	}
	b->last_status = m->ba.status;
	if (m->ba.status >= 128)
		mr->counters[MR_C_ba_rejected]++;
	if (m->ba.status == MH_ST_SEQ_WINDOW) {
		catch_up(mr, m->ba.seq, "going on from the home agent's number");
	} else if (m->ba.status == MH_ST_ID_MISMATCH && b->resyncs < MAX_RESYNCS) {
		/* Our clock has been set by the answer (RFC 4285 s6): now it will do. */
		b->resyncs++;
		catch_up(mr, b->seq, "going on by the home agent's clock");
	} else if (b->state == BUL_CLOSING) {
		closed(mr, true);
	} else if (m->ba.status == MH_ST_TYPE_CHANGE) {
		leave(mr, last_answer(mr), false);
	} else if (m->ba.status >= 128) {
		react(mr, m->ba.status);
	} else if (m->ba.lifetime_s == 0) { /* accepted, and gone at once: of no use */
		if (b->ha == b->bound_ha)
			unbind(mr);
		react(mr, MH_ST_UNSPECIFIED);
	} else if (!(m->ba.flags & MH_BA_R)) {
		leave(mr, "this home agent does not serve mobile routers", true);
	} else {
		accepted(mr, m, sent);
	}
}

/* Somebody asks for an update, and proves nothing by it: an update sent just now was the answer.
 * So floods of such messages leave room for the updates of a move (s11.8). */
static bool may_ask(const struct bul *b, uint64_t now)
{
	return b->state == BUL_BOUND && now - b->tx[2] >= ASKED_MS;
}

static void receive_error(struct mr *mr, const struct mh_msg *m)
{
	struct bul *b = &mr->bul;

	if (m->be.status == 1 && may_ask(b, mr->now)) { /* s11.3.6 */
		tell_retry(mr, "binding unknown there", "registering anew", 0);
		start(mr, BUL_REGISTERING);
	}
	/* It does not know Binding Updates (s11.3.6).  An acknowledgement still counts: anybody may
	 * have sent this. */
	if (m->be.status == 2 && b->state == BUL_REGISTERING && b->n_sent &&
		b->timeout_ms < MAX_BINDACK_MS) {
		b->timeout_ms = MAX_BINDACK_MS;
		b->send_at = mr->now +
			     (mr->conf->n_has > 1 ? mr->conf->next_ha_ms : MAX_BINDACK_MS);
		tell_retry(mr, "Binding Updates unknown there",
			mr->conf->n_has > 1 ? "then trying the next home agent" : "waiting",
			b->send_at - mr->now);
	}
}

static void receive_request(struct mr *mr) /* s11.7.4 */
{
	if (!may_ask(&mr->bul, mr->now))
		return;
	mr_note(mr, NOTE_MR_ASKED, "refreshing the binding now");
	start(mr, BUL_REGISTERING);
}

void bul_receive(struct mr *mr, const struct mh_env *e)
{
	const struct in6_addr *hoa = &mr->conf->hoa;
	/* Through the tunnel to the home address, or by routing header (s6.1, s11.3.3).  A Binding
	 * Error comes without one (s9.3.3), and names it. */
	bool to_home = addr6_eq(addr6_is_any(&e->hoa) ? &e->dst : &e->hoa, hoa);
	bool for_us = e->m.type == MH_BE ? addr6_eq(&e->m.be.hoa, hoa)
		      : e->m.type == MH_BA && mr->home.state == ATHOME_AWAY ? addr6_eq(&e->hoa, hoa)
									    : to_home;

	if (!addr6_eq(&e->src, &mr->conf->has[mr->bul.ha]) || !for_us) {
		mr->counters[MR_C_mh_foreign]++;
		return;
	}
	switch (e->m.type) {
	case MH_BA: receive_ack(mr, &e->m); break;
	case MH_BE: receive_error(mr, &e->m); break;
	case MH_BRR: receive_request(mr); break;
	default: mr->counters[MR_C_mh_unexpected]++; break;
	}
}

/* --- what control.c decides --- */

void bul_again(struct mr *mr)
{
	if (mr->bul.state == BUL_BOUND)
		start(mr, BUL_REGISTERING);
}

void bul_switch(struct mr *mr, unsigned ha)
{
	struct bul *b = &mr->bul;

	b->ha = ha;
	new_round(b);
	if (mr->home.state == ATHOME_AWAY)
		start(mr, BUL_REGISTERING);
}

void bul_revoked(struct mr *mr, uint64_t wait_ms)
{
	struct bul *b = &mr->bul;

	unbind(mr);
	if (b->state == BUL_CLOSING || b->state == BUL_HOME) /* that goes its way */
		return;
	begin(mr, BUL_REVOKED);
	b->ha = b->bound_ha;
	new_round(b);
	b->retry_ms = RETRY_MAX_MS; /* if it is not allowed then, either */
	b->send_at = mr->now + wait_ms;
}

bool bul_delete_at(struct mr *mr, unsigned ha, uint16_t *seq, uint64_t *at)
{
	*at = mr->active < 0 ? mr->now + 1000 : next_slot(&mr->bul);
	if (*at > mr->now)
		return false;
	put_update(mr, ha, true);
	*seq = mr->bul.seq;
	return true;
}

/* --- operator and time --- */

void bul_restart(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->both_modes_tried = false;
	new_round(b);
	b->retry_ms = RETRY_FIRST_MS;
	if (b->state == BUL_REGISTERING) { /* not at once: a move may be about to be noticed */
		b->timeout_ms = mr->conf->retransmit_ms;
		b->send_at = mr_min(b->send_at, mr->now + UPDATE_RATE_MS);
	} else if (b->state == BUL_REFUSED || b->state == BUL_REVOKED || b->state == BUL_RETRY) {
		b->implicit = mr->conf->mode == MR_IMPLICIT;
		b->ha = b->live ? b->bound_ha : 0;
		b->state = BUL_IDLE;
		if (mr->active >= 0 && mr->links[mr->active].current.home)
			athome_arrive(mr, (unsigned)mr->active);
		else if (mr->active >= 0 && mr->discovers)
			discover(mr);
		else if (mr->active >= 0)
			start(mr, BUL_REGISTERING);
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
	start(mr, BUL_CLOSING);
}

/* The timer has reached its cap: the next home agent, or for ever at this rate (s11.7.1). */
static void silence(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (mr->conf->n_has > 1 || mr->discovers) {
		if (!next_ha(mr)) {
			if (b->worst != BUL_LATER) { /* of all the others' answers */
				conclude(mr);
				return;
			}
			if (mr->discovers) {
				discover(mr);
				return;
			}
			new_round(b);
			take_next_ha(mr);
		}
		begin(mr, BUL_REGISTERING);
	}
	send_update(mr);
	if (b->send_at != UINT64_MAX)
		tell_retry(mr, "no answer", "trying again",
			b->n_sent && b->sent[b->n_sent - 1].at == mr->now ? 0
									  : b->send_at - mr->now);
}

static void timeout(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->send_at = UINT64_MAX;
	switch (b->state) {
	case BUL_BOUND: start(mr, BUL_REGISTERING); break; /* refresh */
	case BUL_RETRY:
		if (b->rediscover)
			discover(mr);
		else
			start(mr, BUL_REGISTERING);
		break;
	case BUL_REVOKED: start(mr, BUL_REGISTERING); break;
	case BUL_CLOSING: closing_timeout(mr); break;
	case BUL_REGISTERING:
		if (b->timeout_ms >= MAX_BINDACK_MS)
			silence(mr);
		else
			send_update(mr);
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
