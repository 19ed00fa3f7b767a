/* bul_send.c - Binding Updates: what they say, when they may leave and when they are sent again
 * (RFC 6275 s11.7.1, s11.8; RFC 3963 s5.2), and the tunnel that follows them. */
#include "mr/bul.h"

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

/* Not more than care-of and home address have left (s11.7.1, s11.4.2); in units of 4 s, and never
 * 0. */
static uint32_t lifetime_s(const struct mr *mr)
{
	uint64_t until = mr_min(
		mr->links[mr->bul.uplink].current.prefix_until, mr->mps.valid_until);
	uint64_t left_s = until > mr->now ? (until - mr->now) / 1000 : 0;

	return left_s < 4 ? 4 : (uint32_t)mr_min(mr->conf->lifetime_s, left_s) & ~3u;
}

/* Has a link-local address of ours the home address's interface identifier?  It is then defended
 * with that (s11.7.1). */
static bool same_identifier(const struct mr *mr)
{
	bool same = false;

	for (unsigned i = 0; i < mr->n_links; i++)
		same |= !addr6_is_any(&mr->links[i].lladdr) &&
			memcmp(&mr->links[i].lladdr.s6_addr[8], &mr->conf->hoa.s6_addr[8], 8) == 0;
	return same;
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
	e->m.bu.flags = MH_BU_A | MH_BU_H | MH_BU_R | (same_identifier(mr) ? MH_BU_L : 0);
	e->m.bu.lifetime_s = closing ? 0 : lifetime_s(mr);
	if (away) /* MUST: ESP does not protect the IPv6 header (s11.7.1) */
		e->m.o.alt_coa = b->coa;
	if (!b->implicit && !closing)
		for (unsigned i = 0; i < mr->conf->n_networks; i++)
			e->m.o.mnp[e->m.o.n_mnp++] = mr->conf->networks[i].prefix;
}

uint32_t bul_put_update(struct mr *mr, unsigned ha, bool closing)
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

uint64_t bul_next_slot(const struct bul *b)
{
	return b->n_tx == 3 ? b->tx[0] + UPDATE_RATE_MS : 0;
}

static void transmit(struct mr *mr)
{
	struct bul *b = &mr->bul;

	if (b->n_sent == BUL_MAX_SENT)
		memmove(&b->sent[0], &b->sent[1], --b->n_sent * sizeof(b->sent[0]));
	b->sent[b->n_sent].lifetime_s = bul_put_update(mr, b->ha, b->state == BUL_CLOSING);
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

void bul_send(struct mr *mr)
{
	struct bul *b = &mr->bul;
	uint64_t slot = bul_next_slot(b), at = slot;

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
