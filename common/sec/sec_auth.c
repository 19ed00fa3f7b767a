/* sec_auth.c - messages with the authentication option and its timestamp (RFC 4285): what they have
 * to be to count, and what a wrong one is answered with. */
#include <openssl/crypto.h>
#include "common/sec/peer.h"

#define AUTH_LABEL    "nemo auth-option MN-HA"
#define ANSWERS_PER_S 5 /* refusals (144..146) per router: they go to who only may be it */

/* What takes time is left to the first message: a home agent starts with 10^5 of them. */
void sec_auth_add(struct peer *p, const struct keys *k)
{
	p->auth.n = k->n_auth;
	memcpy(p->auth.key, k->auth, sizeof(p->auth.key));
}

static void recall(struct sec *s, struct peer *p)
{
	struct sec_mark m = {.kind = s->home_agent ? SEC_MARK_FLOOR : SEC_MARK_CLOCK,
		.ha = p->id.ha,
		.hoa = p->id.hoa};

	if (!p->auth.recalled && s->hooks.recall(s->hooks.arg, &m)) {
		p->auth.floor.known = true;
		p->auth.floor.last = p->auth.clock.last = m.value;
	}
	p->auth.recalled = true;
}

/* auth_mac() with a pair's key 'i'. */
static int mac_by(struct peer *p, unsigned i, const struct in6_addr *coa, const uint8_t *mh,
	size_t covered, uint8_t out[AUTH_MAC_SIZE])
{
	struct keys_auth *k = &p->auth.key[i];
	uint8_t key[AUTH_KEY_SIZE];
	int r = 0;

	if (k->size)
		r = keys_derive(k, AUTH_LABEL, &p->id.ha, &p->id.hoa, key, sizeof(key));
	if (k->size && r == 0) {
		OPENSSL_cleanse(k->secret, sizeof(k->secret));
		k->size = 0;
		memcpy(k->secret, key, sizeof(key));
		OPENSSL_cleanse(key, sizeof(key));
	}
	return r < 0 ? r : auth_mac(k->secret, coa, &p->id.hoa, mh, covered, out);
}

/* The address being registered (Alternate Care-of Address), or where the answer goes. */
static const struct in6_addr *care_of(const struct mh_env *e)
{
	if (e->m.type == MH_BA)
		return &e->dst;
	return addr6_is_any(&e->m.o.alt_coa) ? &e->src : &e->m.o.alt_coa;
}

static int find_spi(const struct peer *p, uint32_t spi)
{
	for (unsigned i = 0; i < p->auth.n; i++)
		if (p->auth.key[i].spi == spi)
			return (int)i;
	return -1;
}

/* Has the message to be answered, within the limit? */
static enum mh_verdict refuse(
	struct sec *s, struct peer *p, unsigned status, uint64_t now, struct mh_env *e)
{
	if (now - p->answers_since >= SEC_SECOND) {
		p->answers_since = now;
		p->answers = 0;
	}
	if (p->answers++ >= ANSWERS_PER_S)
		return sec_drop(s, SEC_C_auth_limited);
	e->refuse = status;
	return MH_OK;
}

/* RFC 4285 s6, at a home agent: after the authenticator. */
static enum mh_verdict check_update(struct sec *s, struct peer *p, uint64_t now, struct mh_env *e)
{
	if (!e->m.o.has_stamp) {
		s->counters[SEC_C_auth_no_stamp]++;
		return refuse(s, p, MH_ST_MESG_ID_REQUIRED, now, e);
	}
	recall(s, p);
	if (!auth_floor_take(&p->auth.floor, e->m.o.stamp, now, &e->m.o.stamp)) {
		s->counters[SEC_C_auth_stamp]++;
		return refuse(s, p, MH_ST_ID_MISMATCH, now, e);
	}
	sec_keep(s, p, SEC_MARK_FLOOR, p->auth.floor.last);
	return MH_OK;
}

/* At a mobile router: an answer has the timestamp of its update, but for 144. */
static enum mh_verdict check_answer(struct sec *s, struct peer *p, uint64_t now, struct mh_env *e)
{
	const struct mh_opts *o = &e->m.o;

	if (e->m.ba.status != MH_ST_ID_MISMATCH)
		return o->has_stamp && auth_clock_done(&p->auth.clock, o->stamp)
			       ? MH_OK
			       : sec_drop(s, SEC_C_auth_foreign);
	if (!o->has_stamp || !auth_clock_adjust(&p->auth.clock, o->stamp, now))
		return sec_drop(s, SEC_C_auth_foreign);
	s->counters[SEC_C_auth_resync]++;
	return MH_OK;
}

enum mh_verdict sec_auth_open(struct sec *s, struct peer *p, const uint8_t *mh, size_t size,
	uint64_t now, struct mh_env *e)
{
	const struct mh_opts *o = &e->m.o;
	uint8_t mac[AUTH_MAC_SIZE];
	int i;

	if (e->m.type != MH_BU && e->m.type != MH_BA)
		return sec_harmless(e->m.type) ? MH_OK : sec_drop(s, SEC_C_sec_clear);
	if (o->mac.misplaced || (o->mac.size && o->mac.subtype != AUTH_SUBTYPE))
		return sec_drop(s, SEC_C_auth_place);
	if (!o->mac.size)
		return sec_drop(s, SEC_C_auth_missing);
	i = find_spi(p, o->mac.spi);
	if (i < 0)
		return sec_drop(s, SEC_C_auth_spi);
	if (o->mac.size != AUTH_MAC_SIZE ||
		mac_by(p, (unsigned)i, care_of(e), mh, size - o->mac.tail - AUTH_MAC_SIZE, mac) <
			0 ||
		CRYPTO_memcmp(mac, o->mac.data, AUTH_MAC_SIZE) != 0) {
		s->counters[SEC_C_auth_failed]++;
		return s->home_agent && e->m.type == MH_BU ? refuse(s, p, MH_ST_AUTH_FAIL, now, e)
							   : MH_DROP_SEC;
	}
	s->counters[SEC_C_auth_ok]++;
	return e->m.type == MH_BU ? check_update(s, p, now, e) : check_answer(s, p, now, e);
}

int sec_auth_seal(
	struct sec *s, struct peer *p, struct mh_env *e, uint64_t now, uint8_t *mh, size_t room)
{
	struct mh_opts *o = &e->m.o;
	int i = find_spi(p, o->mac.spi), n, r;

	if (i < 0)
		i = 0;
	o->mac.spi = p->auth.key[i].spi;
	o->mac.subtype = AUTH_SUBTYPE;
	o->mac.size = AUTH_MAC_SIZE;
	if (!s->home_agent) {
		o->id_size = p->name_size; /* s4: MUST */
		memcpy(o->id, p->name, p->name_size);
		o->has_stamp = true;
		recall(s, p);
		o->stamp = auth_clock_next(&p->auth.clock, now);
		sec_keep(s, p, SEC_MARK_CLOCK, p->auth.clock.last);
	}
	n = mh_encode(&e->m, mh, room);
	if (n < 0)
		return n;
	/* The option ends where the message does. */
	r = mac_by(
		p, (unsigned)i, care_of(e), mh, (size_t)n - AUTH_MAC_SIZE, mh + n - AUTH_MAC_SIZE);
	return r < 0 ? r : n;
}
