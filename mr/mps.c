/* mps.c - what the home agent says of the home prefixes: Mobile Prefix Solicitations and
 * Advertisements (RFC 6275 s11.4.2, s11.4.3).
 *
 * Asked is when an acknowledgement has status 1, when an advertisement comes unasked (it is not
 * believed, only taken as a reason to ask), and when three quarters of the home prefix' lifetime
 * are over.  Only a bound router asks, and only the home agent that holds the binding: another
 * would not know the care-of address.  The answer to the last solicitation counts, once. */
#include <stdio.h>
#include "mr/core.h"

#define FIRST_WAIT_MS 3000  /* INITIAL_SOLICIT_TIMER, RFC 6275 s12 */
#define MAX_WAIT_MS   32000 /* MAX_BINDACK_TIMEOUT */
#define CHECK_MIN_MS  10000 /* a lifetime of seconds must not make a flood */
#define SLACK_MS      2000

void mps_init(struct mr *mr)
{
	mr->mps.at = mr->mps.valid_until = mr->mps.preferred_until = UINT64_MAX;
}

/* The home agent has acknowledged where we are. */
static bool may_ask(const struct mr *mr)
{
	const struct bul *b = &mr->bul;

	return mr->active >= 0 && b->live && b->acked && addr6_eq(&b->bound_coa, &b->coa);
}

static void solicit(struct mr *mr)
{
	struct mps *s = &mr->mps;
	struct mr_action *a;

	if (!may_ask(mr)) { /* mps_bound() comes */
		s->at = UINT64_MAX;
		return;
	}
	a = mr_action(mr, MR_DO_SEND_ICMP6);
	a->uplink = mr->bul.uplink;
	a->icmp6.type = ICMP6_MPS;
	a->icmp6.src = mr->bul.coa;
	a->icmp6.dst = mr->conf->has[mr->bul.bound_ha];
	a->icmp6.hoa = mr->conf->hoa;
	a->icmp6.id = s->id;
	mr->counters[MR_C_mps_tx]++;
	s->sent = true;
	s->last_tx = mr->now;
	s->at = mr->now + s->wait_ms;
	s->wait_ms = mr_min(2 * s->wait_ms, MAX_WAIT_MS);
}

void mps_ask(struct mr *mr)
{
	struct mps *s = &mr->mps;

	if (s->asking || mr->conf->no_mpd)
		return;
	s->asking = true;
	s->sent = false;
	s->id = (uint16_t)mr_random(mr);
	s->wait_ms = FIRST_WAIT_MS;
	/* Whoever makes us ask (s11.4.3) can't make it more than one in three seconds. */
	s->at = s->last_tx && s->last_tx + FIRST_WAIT_MS > mr->now ? s->last_tx + FIRST_WAIT_MS
								   : mr->now;
	if (s->at == mr->now)
		solicit(mr);
}

void mps_bound(struct mr *mr, uint8_t status)
{
	struct mps *s = &mr->mps;

	if (status == MH_ST_ACCEPTED_PREFIX)
		mps_ask(mr);
	if (s->asking && s->at == UINT64_MAX) { /* from where we are now, and of a new home agent */
		s->wait_ms = FIRST_WAIT_MS;
		s->at = mr->now;
	}
}

static void tell(struct mr *mr, const char *what, uint64_t until)
{
	uint64_t left_ms = until - mr->now;

	mr_note(mr, NOTE_MR_HOME_ENDS, "the home address is %s in %llu s: give this router another",
		what, (unsigned long long)(until == UINT64_MAX ? UINT32_MAX : left_ms / 1000));
}

/* One of the home link's prefixes; true: it is new to us. */
static bool learn(struct mr *mr, const struct ndp_prefix *p)
{
	struct mps *s = &mr->mps;
	unsigned i = 0;
	bool known;

	while (i < s->n_prefix && !prefix6_eq(&s->prefix[i].prefix, &p->prefix))
		i++;
	known = i < s->n_prefix;
	if (!known && (p->valid_s == 0 || s->n_prefix == NDP_MAX_PREFIX))
		return false;
	if (!known)
		s->n_prefix++;
	s->prefix[i] = *p;
	return !known;
}

/* The end is being counted down, or was brought nearer: nobody prolongs it, as a router that
 * advertises always the same lifetime does. */
static bool ends(const struct mr *mr, uint64_t old, uint64_t end)
{
	uint64_t passed = mr->now - mr->mps.taken;

	if (end == UINT64_MAX || old == UINT64_MAX || !mr->mps.taken)
		return false;
	return end + SLACK_MS < old || (passed > SLACK_MS * 5 && end < old + passed / 2);
}

/* As an advertisement on the home link would do (RFC 4862 s5.5.3). */
static void take_home(struct mr *mr, const struct ndp_prefix *p)
{
	struct mps *s = &mr->mps;
	uint64_t valid = s->valid_until == UINT64_MAX
				 ? ndp_until(mr->now, p->valid_s)
				 : ndp_valid_until(mr->now, s->valid_until, p->valid_s);
	uint64_t preferred = mr_min(ndp_until(mr->now, p->preferred_s), valid), least;

	if (p->preferred_s == 0)
		tell(mr, "deprecated; it becomes invalid", valid);
	else if (ends(mr, s->preferred_until, preferred))
		tell(mr, "deprecated", preferred);
	s->valid_until = valid;
	s->preferred_until = preferred;
	s->taken = mr->now;
	least = p->preferred_s ? preferred : valid;
	if (least == UINT64_MAX)
		s->at = UINT64_MAX;
	else if (least - mr->now < CHECK_MIN_MS * 4 / 3)
		s->at = mr->now + CHECK_MIN_MS;
	else
		s->at = mr->now + (least - mr->now) * 3 / 4;
}

static void take(struct mr *mr, const struct icmp6_msg *m)
{
	const struct ndp_prefix *home = NULL;
	char text[PREFIX6_STRLEN];
	bool first = mr->mps.n_prefix == 0;

	mr->mps.asking = false;
	mr->mps.at = UINT64_MAX;
	for (unsigned i = 0; i < m->n_prefix; i++) {
		const struct ndp_prefix *p = &m->prefix[i];

		if (prefix6_has(&p->prefix, &mr->conf->hoa) &&
			(!home || p->prefix.len > home->prefix.len))
			home = p;
		if (learn(mr, p) && !first && !prefix6_has(&p->prefix, &mr->conf->hoa))
			mr_note(mr, NOTE_MR_PREFIX, "%s, valid for %u s",
				prefix6_str(&p->prefix, text), p->valid_s);
	}
	if (home)
		take_home(mr, home);
}

void mps_receive(struct mr *mr, const struct icmp6_msg *m)
{
	struct mps *s = &mr->mps;
	const struct bul *b = &mr->bul;

	mr->counters[MR_C_mpa_rx]++;
	if (mr->conf->no_mpd || !b->live || !addr6_eq(&m->src, &mr->conf->has[b->bound_ha]) ||
		!addr6_eq(&m->hoa, &mr->conf->hoa) || !addr6_eq(&m->dst, &b->coa) ||
		m->n_prefix == 0) {
		mr->counters[MR_C_mpa_ignored]++;
		return;
	}
	if (s->asking && s->sent && m->id == s->id) {
		take(mr, m);
		return;
	}
	mr->counters[MR_C_mpa_unasked]++;
	mps_ask(mr);
}

void mps_tick(struct mr *mr)
{
	struct mps *s = &mr->mps;

	if (s->valid_until <= mr->now) {
		s->valid_until = UINT64_MAX; /* told once */
		s->asking = false;
		s->at = UINT64_MAX;
		bul_home_ended(mr);
		return;
	}
	if (s->at > mr->now)
		return;
	if (s->asking) {
		solicit(mr);
	} else {
		s->at = UINT64_MAX;
		mps_ask(mr);
	}
}

uint64_t mps_deadline(const struct mr *mr)
{
	return mr_min(mr->mps.at, mr->mps.valid_until);
}

json_t *mps_show(const struct mr *mr, uint64_t now)
{
	const struct mps *s = &mr->mps;
	json_t *list = json_array();
	char text[PREFIX6_STRLEN];

	for (unsigned i = 0; i < s->n_prefix; i++)
		json_array_append_new(list, json_string(prefix6_str(&s->prefix[i].prefix, text)));
	return json_pack("{so so so}", "prefixes", list, "valid_s",
		s->valid_until == UINT64_MAX
			? json_null()
			: json_integer((json_int_t)((s->valid_until - mr_min(now, s->valid_until)) /
						    1000)),
		"preferred_s",
		s->preferred_until == UINT64_MAX
			? json_null()
			: json_integer((json_int_t)((s->preferred_until -
							    mr_min(now, s->preferred_until)) /
						    1000)));
}
