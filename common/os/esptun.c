/* esptun.c - associations and policies of the tunnels, by home agent and home address. */
#include "common/os/esptun.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <uthash.h>
#include "common/core/addr.h"
#include "common/os/log.h"

#define MAX_IN 16 /* updates whose answer a router is ready for */

struct pair_id { /* hash key: no padding */
	struct in6_addr ha, hoa;
};

struct installed { /* an association to a router; spi = 0: none */
	struct in6_addr coa;
	uint32_t spi;
	uint16_t seq;
	uint32_t secret; /* spi_to_mr of what it was made of */
};

struct peer {
	struct pair_id id;
	uint32_t reqid;
	struct payload_secret secret[2]; /* the newest, the one before; spi_to_ha = 0: none */
	struct installed to_mr[MAX_IN];  /* router: the last ones; home agent: [0] */
	unsigned next;                   /* router: to be replaced next */
	struct in6_addr coa;             /* router: of the last update; :: = none yet */
	uint16_t seq;
	struct xfrm_pair pairs[2]; /* with policies */
	unsigned n_pairs;
	UT_hash_handle hh;
};

struct esptun {
	bool home_agent;
	struct xfrm *x;
	struct peer *peers; /* owned */
	uint32_t last;      /* reqid given */
};

int esptun_open(struct esptun **out, bool home_agent, char *why)
{
	struct esptun *e = OPENSSL_zalloc(sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->home_agent = home_agent;
	r = xfrm_open(&e->x, why);
	if (r == 0) {
		r = xfrm_sweep(e->x);
		if (r < 0)
			snprintf(why, 256, "XFRM: %s", strerror(-r));
	}
	if (r < 0) {
		esptun_close(e, true);
		return r;
	}
	*out = e;
	return 0;
}

static struct peer *find_or_add(
	struct esptun *e, const struct in6_addr *ha, const struct in6_addr *hoa)
{
	struct pair_id id = {*ha, *hoa};
	struct peer *p;

	HASH_FIND(hh, e->peers, &id, sizeof(id), p);
	if (p)
		return p;
	p = OPENSSL_zalloc(sizeof(*p));
	if (!p)
		return NULL;
	p->id = id;
	p->reqid = XFRM_REQID | ++e->last;
	HASH_ADD(hh, e->peers, id, sizeof(p->id), p);
	return p;
}

/* --- associations --- */

static void complain(const struct peer *p, const char *what, int r)
{
	char s[INET6_ADDRSTRLEN];

	if (r < 0)
		log_err("payload of home address %s: %s: %s", addr6_str(&p->id.hoa, s), what,
			strerror(-r));
}

static int put_to_ha(struct esptun *e, const struct peer *p)
{
	struct esp_sa sa;
	int r = payload_to_ha(&p->secret[0], &p->id.ha, &p->id.hoa, &sa);

	if (r == 0)
		r = xfrm_sa_put(e->x, &in6addr_any, &p->id.ha, p->reqid, &sa);
	OPENSSL_cleanse(&sa, sizeof(sa));
	return r;
}

static void drop_to_ha(struct esptun *e, struct peer *p, struct payload_secret *s)
{
	if (s->spi_to_ha)
		complain(p, "old association",
			xfrm_sa_drop(e->x, &p->id.ha, s->spi_to_ha | PAYLOAD_SPI));
}

static void drop_to_mr(struct esptun *e, struct peer *p, struct installed *i)
{
	if (i->spi)
		complain(p, "old association", xfrm_sa_drop(e->x, &i->coa, i->spi));
	i->spi = 0;
}

/* In the place of 'at', which goes once the new one is there. */
static int put_to_mr(struct esptun *e, struct peer *p, struct installed *at,
	const struct in6_addr *coa, uint16_t seq)
{
	struct installed old = *at;
	struct esp_sa sa;
	int r = payload_to_mr(&p->secret[0], &p->id.ha, coa, seq, &sa);

	if (r == 0)
		r = xfrm_sa_put(e->x, &p->id.ha, coa, p->reqid, &sa);
	if (r == 0)
		*at = (struct installed){*coa, sa.spi, seq, p->secret[0].spi_to_mr};
	OPENSSL_cleanse(&sa, sizeof(sa));
	if (r == 0)
		drop_to_mr(e, p, &old);
	return r;
}

static bool is_for(
	const struct installed *i, const struct peer *p, const struct in6_addr *coa, uint16_t seq)
{
	return i->spi && i->seq == seq && i->secret == p->secret[0].spi_to_mr &&
	       addr6_eq(&i->coa, coa);
}

/* A router receives the answers to its last updates. */
static void expect(struct esptun *e, struct peer *p)
{
	int r;

	if (!p->secret[0].spi_to_ha || addr6_is_any(&p->coa))
		return;
	for (unsigned i = 0; i < MAX_IN; i++)
		if (is_for(&p->to_mr[i], p, &p->coa, p->seq))
			return;
	r = put_to_mr(e, p, &p->to_mr[p->next], &p->coa, p->seq);
	complain(p, "association to us", r);
	if (r == 0)
		p->next = (p->next + 1) % MAX_IN;
}

/* A home agent sends under keys that are new with each update, or not at all. */
static int send_to(struct esptun *e, struct peer *p, const struct in6_addr *coa, uint16_t seq)
{
	struct installed *at = &p->to_mr[0];

	if (is_for(at, p, coa, seq))
		return 0;
	if (p->secret[0].spi_to_ha && payload_next(&p->secret[0], seq))
		return put_to_mr(e, p, at, coa, seq);
	if (!addr6_eq(&at->coa, coa))
		drop_to_mr(e, p, at);
	return 0;
}

void esptun_keys(struct esptun *e, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct payload_secret *s)
{
	struct peer *p = find_or_add(e, ha, hoa);

	if (!p)
		return;
	if (e->home_agent) /* the router may still send under the last one, not under that before */
		drop_to_ha(e, p, &p->secret[1]);
	p->secret[1] = p->secret[0];
	p->secret[0] = *s;
	complain(p, "association to the home agent", put_to_ha(e, p));
	if (e->home_agent)
		return;
	drop_to_ha(e, p, &p->secret[1]);
	expect(e, p);
}

void esptun_update(struct esptun *e, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct in6_addr *coa, uint16_t seq)
{
	struct peer *p = addr6_eq(coa, hoa) ? NULL : find_or_add(e, ha, hoa);

	if (!p)
		return;
	p->coa = *coa;
	p->seq = seq;
	expect(e, p);
}

/* --- policies --- */

static bool has_pair(const struct xfrm_pair *v, unsigned n, const struct xfrm_pair *pair)
{
	for (unsigned i = 0; i < n; i++)
		if (addr6_eq(&v[i].local, &pair->local) && addr6_eq(&v[i].remote, &pair->remote))
			return true;
	return false;
}

/* At the home agent: does another router's tunnel end there?  A policy is of one router's keys, so
 * who names another's care-of address would be sent what is for him. */
static bool is_anothers(const struct esptun *e, const struct peer *p, const struct xfrm_pair *pair)
{
	const struct peer *other;

	for (other = e->peers; other && e->home_agent; other = other->hh.next)
		if (other != p && has_pair(other->pairs, other->n_pairs, pair))
			return true;
	return false;
}

static int set_pairs(struct esptun *e, struct peer *p, const struct xfrm_pair *v, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; i < n; i++)
		if (is_anothers(e, p, &v[i]))
			return -EADDRINUSE;
	for (unsigned i = 0; i < n && r == 0; i++)
		if (!has_pair(p->pairs, p->n_pairs, &v[i]))
			r = xfrm_policy_put(e->x, &v[i], p->reqid);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < p->n_pairs; i++)
		if (!has_pair(v, n, &p->pairs[i]))
			complain(p, "old policy", xfrm_policy_drop(e->x, &p->pairs[i]));
	for (unsigned i = 0; i < n; i++)
		p->pairs[i] = v[i];
	p->n_pairs = n;
	return 0;
}

int esptun_put(struct esptun *e, const struct esptun_put *t)
{
	struct peer *p = find_or_add(e, &t->ha, &t->hoa), *other, *next;
	struct xfrm_pair v[2] = {{t->coa, t->ha}, {t->old_coa, t->ha}};
	int r;

	if (!p)
		return -ENOMEM;
	if (e->home_agent)
		v[0] = (struct xfrm_pair){t->ha, t->coa};
	r = set_pairs(e, p, v, !e->home_agent && !addr6_is_any(&t->old_coa) ? 2 : 1);
	if (r == 0 && e->home_agent)
		return send_to(e, p, &t->coa, t->seq);
	HASH_ITER (hh, e->peers, other, next) /* a router has one home agent at a time */
		if (!e->home_agent && other != p)
			set_pairs(e, other, NULL, 0);
	return r;
}

int esptun_drop(struct esptun *e, const struct in6_addr *hoa)
{
	struct peer *p, *next;
	int r = 0;

	HASH_ITER (hh, e->peers, p, next) {
		if (!addr6_eq(&p->id.hoa, hoa))
			continue;
		r = set_pairs(e, p, NULL, 0);
		if (e->home_agent)
			drop_to_mr(e, p, &p->to_mr[0]);
	}
	return r;
}

void esptun_forget(struct esptun *e, const struct in6_addr *hoa)
{
	struct peer *p, *next;

	esptun_drop(e, hoa);
	HASH_ITER (hh, e->peers, p, next) {
		if (!addr6_eq(&p->id.hoa, hoa))
			continue;
		for (unsigned i = 0; i < 2; i++)
			drop_to_ha(e, p, &p->secret[i]);
		HASH_DEL(e->peers, p);
		OPENSSL_clear_free(p, sizeof(*p));
	}
}

void esptun_close(struct esptun *e, bool keep)
{
	struct peer *p, *next;

	if (!e)
		return;
	if (!keep)
		xfrm_sweep(e->x);
	HASH_ITER (hh, e->peers, p, next) {
		HASH_DEL(e->peers, p);
		OPENSSL_clear_free(p, sizeof(*p));
	}
	xfrm_close(e->x);
	OPENSSL_free(e);
}
