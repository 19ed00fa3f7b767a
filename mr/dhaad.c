/* dhaad.c - dynamic home agent address discovery (RFC 6275 s11.4.1, RFC 3963 s7.1): asks the home
 * link for home agents when the configuration names none, or when none of those found earlier would
 * have us.
 *
 * A round is up to five requests, 3, 6, 12 and 24 seconds apart, with one Identifier; it ends with
 * the first usable reply, or 48 s after the last request.  Replies are not authenticated: all that
 * they can do is to name addresses to try. */
#include <stdio.h>
#include "mr/core.h"

#define FIRST_WAIT_MS 3000 /* INITIAL_DHAAD_TIMEOUT, RFC 6275 s12 */
#define RETRIES       4    /* DHAAD_RETRIES: retransmissions */
#define MIN_GAP_MS    1000 /* between requests, whatever happens */
#define AGAIN_MS      60000
#define MAX_HELD      4 /* of those known before, as far as something goes on with them */

void dhaad_init(struct mr *mr)
{
	mr->dhaad.at = UINT64_MAX;
}

static void request(struct mr *mr)
{
	struct dhaad *d = &mr->dhaad;
	struct mr_action *a;

	if (mr->active < 0) { /* begins anew with the next care-of address */
		d->at = UINT64_MAX;
		return;
	}
	a = mr_action(mr, MR_DO_SEND_ICMP6);
	a->uplink = mr->bul.uplink;
	a->icmp6.type = ICMP6_DHAAD_REQUEST;
	a->icmp6.src = d->coa;
	a->icmp6.dst = icmp6_anycast(&mr->conf->home_prefix);
	a->icmp6.id = d->id;
	a->icmp6.mobile_router = true;
	mr->counters[MR_C_dhaad_tx]++;
	d->n_tx++;
	d->last_tx = mr->now;
	d->at = mr->now + d->wait_ms;
	d->wait_ms *= 2;
}

/* Not more than one request a second, also with a care-of address that changes all the time. */
static void begin(struct mr *mr)
{
	struct dhaad *d = &mr->dhaad;

	d->running = true;
	d->coa = mr->bul.coa;
	d->id = (uint16_t)mr_random(mr);
	d->n_tx = 0;
	d->wait_ms = FIRST_WAIT_MS;
	d->at = d->ever && d->last_tx + MIN_GAP_MS > mr->now ? d->last_tx + MIN_GAP_MS : mr->now;
	d->ever = true;
	if (d->at == mr->now)
		request(mr);
}

void dhaad_start(struct mr *mr)
{
	struct dhaad *d = &mr->dhaad;

	if (d->running && d->at != UINT64_MAX && addr6_eq(&d->coa, &mr->bul.coa))
		return;
	begin(mr);
}

void dhaad_stop(struct mr *mr)
{
	mr->dhaad.running = false;
	mr->dhaad.at = UINT64_MAX;
}

static bool usable(const struct mr *mr, const struct in6_addr *a)
{
	const struct prefix6 *p;

	if (!addr6_is_routable(a) || addr6_eq(a, &mr->conf->hoa))
		return false;
	for (unsigned i = 0; (p = mr_behind(mr->conf, i)); i++)
		if (prefix6_has(p, a))
			return false;
	return true;
}

/* Room is kept for those that something still goes on with: they stay in the list, too. */
static void take_list(struct mr *mr, const struct icmp6_msg *m)
{
	struct in6_addr list[MR_MAX_HAS - MAX_HELD];
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_ha && n < sizeof(list) / sizeof(list[0]); i++)
		if (usable(mr, &m->ha[i]) && mr_find_agent(list, n, &m->ha[i]) == n)
			list[n++] = m->ha[i];
	mr_take_agents(mr, list, n);
	mr->now_conf.n_has = mr->n_known;
}

static bool any_usable(const struct mr *mr, const struct icmp6_msg *m)
{
	for (unsigned i = 0; i < m->n_ha; i++)
		if (usable(mr, &m->ha[i]))
			return true;
	return false;
}

void dhaad_receive(struct mr *mr, const struct icmp6_msg *m)
{
	struct dhaad *d = &mr->dhaad;
	char a[INET6_ADDRSTRLEN], text[64] = "";

	mr->counters[MR_C_dhaad_rx]++;
	/* R = 0: these serve mobile nodes only (RFC 3963 s7.2). */
	if (!d->running || d->n_tx == 0 || m->id != d->id || !addr6_eq(&m->dst, &d->coa) ||
		!m->mobile_router || !any_usable(mr, m)) {
		mr->counters[MR_C_dhaad_ignored]++;
		return;
	}
	take_list(mr, m);
	dhaad_stop(mr);
	if (mr->conf->n_has > 1)
		snprintf(text, sizeof(text), " and %u more", mr->conf->n_has - 1);
	mr_note(mr, NOTE_MR_DISCOVERED, "home agent %s%s", addr6_str(&mr->has[0], a), text);
	bul_discovered(mr);
}

void dhaad_tick(struct mr *mr)
{
	struct dhaad *d = &mr->dhaad;

	if (d->at > mr->now)
		return;
	if (d->running && d->n_tx <= RETRIES) {
		request(mr);
		return;
	}
	if (!d->running) { /* the pause is over */
		begin(mr);
		return;
	}
	dhaad_stop(mr);
	mr_note(mr, NOTE_MR_RETRY, "home agent discovery: no answer; %s",
		mr->conf->n_has ? "trying those known so far" : "next try in 60 s");
	if (mr->conf->n_has)
		bul_discovered(mr);
	else
		d->at = mr->now + AGAIN_MS;
}
