/* bul_answer.c - what answers to Binding Updates lead to: acknowledgements, Binding Errors and
 * refresh requests (RFC 6275 s11.3.6, s11.7.3, s11.7.4; RFC 3963 s5.3, s5.4). */
#include "common/core/seq16.h"
#include "mr/bul.h"

#define ASKED_MS    1000 /* an update this old is the answer to a request to send one */
#define MAX_RESYNCS 3    /* in a row */

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

void bul_tell_retry(struct mr *mr, const char *why, const char *what, uint64_t wait_ms)
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
	bul_begin(mr, BUL_RETRY);
	mr->bul.send_at = mr->now + wait_ms;
	bul_tell_retry(mr, last_answer(mr), what, wait_ms);
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

void bul_advertise_again(struct mr *mr)
{
	advertise(mr, true);
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
		"%s: no more registrations for this home address%s; after correcting the home "
		"agent's configuration run: nemoctl mr rehome, this router's: nemoctl mr reload",
		last_answer(mr), b->prefix_refused ? ", its prefixes must not be advertised" : "")
		->status = b->last_status;
}

void bul_take_next_ha(struct mr *mr)
{
	struct bul *b = &mr->bul;

	b->ha = (b->ha + 1) % mr->conf->n_has;
	b->next_ha_at = b->tx[2] + mr->conf->next_ha_ms;
}

bool bul_next_ha(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->has_tried + 1 >= mr->conf->n_has)
		return false;
	b->has_tried++;
	bul_take_next_ha(mr);
	return true;
}

static void back_off(struct mr *mr)
{
	struct bul *b = &mr->bul;
	uint64_t wait = b->retry_ms - b->retry_ms / 8 + mr_random(mr) % (b->retry_ms / 4);

	b->retry_ms = mr_min(2 * b->retry_ms, RETRY_MAX_MS);
	b->rediscover = mr->discovers && b->has_tried + 1 >= mr->conf->n_has;
	bul_new_round(b);
	if (bul_has_holder(mr)) /* it is asked first (s11.4.1) */
		b->ha = b->bound_ha;
	else if (mr->conf->n_has > 1)
		bul_take_next_ha(mr);
	later(mr, b->last_status < 128 ? "granted no time; backing off" : "backing off", wait);
}

/* No home agent accepts: the gravest answer of them decides, so that a milder one of another does
 * not make it ask for ever what it must not ask again (RFC 3963 s5.4). */
void bul_conclude(struct mr *mr)
{
	struct bul *b = &mr->bul;
	enum bul_verdict worst = b->worst;

	if (worst == BUL_OTHER_MODE && mr->conf->mode == MR_AUTO && !b->both_modes_tried) {
		b->both_modes_tried = true;
		b->implicit = !b->implicit;
		bul_new_round(b);
		later(mr, "trying the other mode", mr->conf->next_ha_ms);
		return;
	}
	if (worst == BUL_LATER)
		back_off(mr);
	else
		refuse(mr);
}

/* The new home agent is on the home link of the one that holds the binding, which defends our
 * address there: that binding has to end first (RFC 5142 s6.1). */
static void leave_first(struct mr *mr)
{
	struct bul *b = &mr->bul;

	bul_tell_retry(mr, last_answer(mr), "de-registering with the former home agent first", 0);
	b->then_ha = (int)b->ha;
	b->ha = b->bound_ha;
	bul_start(mr, BUL_CLOSING);
}

static void react(struct mr *mr, uint8_t status)
{
	struct bul *b = &mr->bul;
	const struct reaction *r = &reactions[0];
	/* That home agent may hold a binding still, and defend our address: no duplicate. */
	bool defended = status == MH_ST_DAD_FAILED && b->ha != b->bound_ha && mr->now < b->ends;

	if (defended && b->live) {
		leave_first(mr);
		return;
	}
	if (defended) /* it did not answer: until its binding ends */
		status = MH_ST_UNSPECIFIED;
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
		bul_unbind(mr);
	if (r->in[b->implicit].next_ha && bul_next_ha(mr))
		later(mr, "trying the next home agent", mr->conf->next_ha_ms);
	else
		bul_conclude(mr);
}

void bul_closed(struct mr *mr, bool answered)
{
	struct bul *b = &mr->bul;
	bool home = mr->home.state != ATHOME_AWAY;

	b->send_at = UINT64_MAX;
	if (b->ha == b->bound_ha || home)
		bul_unbind(mr);
	if (b->ha == b->bound_ha && answered)
		b->ends = mr->now;
	mr_note(mr, NOTE_MR_CLOSED, "%s",
		answered ? "the home agent has removed the binding"
			 : "no answer to the de-registration; the binding ends with its lifetime");
	if (b->closing_exit) {
		b->state = BUL_IDLE;
		mr_exit(mr, false);
	} else if (home) {
		bul_begin(mr, BUL_HOME);
		athome_closed(mr, answered && b->last_status < 128);
	} else if (b->then_ha >= 0) {
		b->ha = (unsigned)b->then_ha;
		b->then_ha = -1;
		bul_start(mr, BUL_REGISTERING);
	} else if (b->elsewhere) {
		b->elsewhere = false;
		if (!bul_next_ha(mr)) {
			b->rediscover = mr->discovers; /* RFC 3963 s5.3 */
			bul_take_next_ha(mr);
		}
		later(mr, "this home agent does not serve mobile routers", RETRY_MAX_MS / 5);
	} else {
		bul_start(mr, BUL_REGISTERING);
	}
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
	bul_begin(mr, BUL_BOUND);
	b->refresh_at = b->send_at = sent_at + refresh_ms;
	b->live = b->acked = true;
	b->bound_coa = b->coa;
	bul_new_round(b);
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
		bul_closing_timeout(mr); /* counts as a try: the end must come */
		return;
	}
	bul_send(mr);
	if (b->send_at != UINT64_MAX)
		bul_tell_retry(mr, last_answer(mr), what, b->n_sent ? 0 : b->send_at - mr->now);
}

/* De-registers, to begin again or (elsewhere) at another home agent (RFC 3963 s5.2, s5.3). */
static void leave(struct mr *mr, const char *why, bool elsewhere)
{
	mr->bul.elsewhere = elsewhere;
	bul_tell_retry(mr, why, "de-registering first", 0);
	bul_start(mr, BUL_CLOSING);
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
	b->told_error = 0;
	if (m->ba.status >= 128) {
		mr->counters[MR_C_ba_rejected]++;
		mr->rejects[m->ba.status & 0xff]++;
	}
	if (m->ba.status == MH_ST_SEQ_WINDOW) {
		catch_up(mr, m->ba.seq, "going on from the home agent's number");
	} else if (m->ba.status == MH_ST_ID_MISMATCH && b->resyncs < MAX_RESYNCS) {
		/* Our clock has been set by the answer (RFC 4285 s6): now it will do. */
		b->resyncs++;
		catch_up(mr, b->seq, "going on by the home agent's clock");
	} else if (b->state == BUL_CLOSING) {
		bul_closed(mr, true);
	} else if (m->ba.status == MH_ST_TYPE_CHANGE) {
		leave(mr, last_answer(mr), false);
	} else if (m->ba.status >= 128) {
		react(mr, m->ba.status);
	} else if (m->ba.lifetime_s == 0) { /* accepted, and gone at once: of no use */
		if (b->ha == b->bound_ha)
			bul_unbind(mr);
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

/* No update does any good there: the next home agent's turn, when this one has had its time, or a
 * try now and then (s11.3.5, s11.3.6).  An acknowledgement still counts: anybody may have said so.
 */
static void leave_alone(struct mr *mr, const char *why)
{
	struct bul *b = &mr->bul;
	bool other = mr->conf->n_has > 1;

	if (!b->n_sent || b->timeout_ms >= MAX_BINDACK_MS)
		return;
	b->timeout_ms = MAX_BINDACK_MS;
	b->send_at = mr->now + (other ? mr->conf->next_ha_ms : MAX_BINDACK_MS);
	bul_tell_retry(mr, why, other ? "then trying the next home agent" : "waiting",
		b->send_at - mr->now);
}

/* Who holds the binding understands updates, whatever is said in his name; and the way there may be
 * about to change with our own move. */
static bool holds(const struct bul *b)
{
	return b->live && b->ha == b->bound_ha;
}

static void receive_error(struct mr *mr, const struct mh_msg *m)
{
	struct bul *b = &mr->bul;

	if (m->be.status == 1 && may_ask(b, mr->now)) { /* s11.3.6 */
		bul_tell_retry(mr, "binding unknown there", "registering anew", 0);
		bul_start(mr, BUL_REGISTERING);
	}
	/* It is there again: not at the end of a long wait, then.  An acknowledgement of what was
	 * sent before still counts. */
	if (m->be.status == 1 && b->state == BUL_REGISTERING && mr->now - b->tx[2] >= ASKED_MS) {
		b->timeout_ms = mr->conf->retransmit_ms;
		bul_tell_retry(mr, "binding unknown there", "sending again", 0);
		bul_send(mr);
	}
	if (m->be.status == 2 && b->state == BUL_REGISTERING && !holds(b))
		leave_alone(mr, "Binding Updates unknown there");
}

static void receive_request(struct mr *mr) /* s11.7.4 */
{
	if (!may_ask(&mr->bul, mr->now))
		return;
	mr_note(mr, NOTE_MR_ASKED, "refreshing the binding now");
	bul_start(mr, BUL_REGISTERING);
}

/* --- ICMPv6 errors about updates (s11.3.5) --- */

enum { UNRECOGNIZED_HEADER = 1, UNRECOGNIZED_OPTION = 2 }; /* RFC 4443 s3.4 */

static const char *error_text(const struct quote_error *e)
{
	static const char *const unreachable[] = {"no route to it", "prohibited on the way",
		"beyond the scope of the source", "host unreachable", "port unreachable",
		"source address refused on the way", "route to it rejected"};

	switch (e->type) {
	case QUOTE_UNREACHABLE:
		return e->code < sizeof(unreachable) / sizeof(unreachable[0]) ? unreachable[e->code]
									      : "unreachable";
	case QUOTE_TIME_EXCEEDED: return "lost on the way, perhaps in a loop";
	case QUOTE_TOO_BIG: return "update too big for the path";
	default:
		return e->code == UNRECOGNIZED_OPTION
			       ? "Home Address option unknown there: no home agent runs"
		       : e->code == UNRECOGNIZED_HEADER ? "Binding Updates unknown there"
							: "update found malformed there";
	}
}

/* About an update that still waits for its answer, and by all that the error quotes of it? */
static bool outstanding(const struct mr *mr, const struct quote_update *q)
{
	const struct bul *b = &mr->bul;
	bool known = q->esp && b->n_sent; /* protection has looked at its number */

	for (unsigned i = 0; i < b->n_sent && !q->esp; i++)
		known |= b->sent[i].seq == q->seq;
	return known && mr->conf->n_has && addr6_eq(&q->dst, &mr->conf->has[b->ha]) &&
	       addr6_eq(&q->src, &b->coa) &&
	       (mr->home.state != ATHOME_AWAY || addr6_eq(&q->hoa, &mr->conf->hoa));
}

void bul_error(struct mr *mr, const struct quote_update *q)
{
	struct bul *b = &mr->bul;
	const struct quote_error *e = &q->error;
	bool unknown = e->type == QUOTE_PARAM_PROBLEM && e->code == UNRECOGNIZED_HEADER;
	bool cut_off = e->type == QUOTE_UNREACHABLE || e->type == QUOTE_TIME_EXCEEDED;
	unsigned what = e->type << 8 | e->code;

	if (!outstanding(mr, q)) {
		mr->counters[MR_C_error_ignored]++;
		return;
	}
	mr->counters[MR_C_error_rx]++;
	if (b->state == BUL_REGISTERING && !holds(b) &&
		(unknown || (cut_off && mr->conf->n_has > 1)))
		leave_alone(mr, error_text(e));
	else if (b->told_error != what && b->send_at != UINT64_MAX)
		bul_tell_retry(mr, error_text(e), "going on",
			b->send_at > mr->now ? b->send_at - mr->now : 0);
	b->told_error = what;
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
