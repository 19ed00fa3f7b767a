/* conf_check.c - what has to fit together in a home agent's configuration: routers, prefixes,
 * tenants, secrets. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <uthash.h>
#include "common/os/protect.h"
#include "ha/conf.h"
#include "ha/table.h"

/* What occurs twice is found by sorting: tables of the hash library take five times as long for
 * 10^5 routers. */
struct text {
	const void *p;
	size_t size; /* 0: is not like any other */
};

static void *array(size_t n, size_t size)
{
	void *v = calloc(n + 1, size);

	if (!v)
		abort();
	return v;
}

struct hashed {
	uint32_t hash;
	unsigned i;
};

static int by_hash(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash)
				  : (x->i > y->i) - (x->i < y->i);
}

static bool same_text(const struct text *a, const struct text *b)
{
	return a->size == b->size && memcmp(a->p, b->p, a->size) == 0;
}

/* 'first[i]': the first that is the same text as 'i', maybe itself.  Returns them sorted. */
static struct hashed *sort_texts(const struct text *v, unsigned n, unsigned *first)
{
	struct hashed *h = array(n, sizeof(*h));

	for (unsigned i = 0; i < n; i++) {
		h[i].i = i;
		HASH_JEN(v[i].p, v[i].size, h[i].hash);
	}
	qsort(h, n, sizeof(*h), by_hash);
	for (unsigned i = 0, run = 0; i < n; i++) {
		unsigned k;

		if (h[i].hash != h[run].hash)
			run = i;
		k = v[h[i].i].size ? run : i;
		while (k < i && !same_text(&v[h[i].i], &v[h[k].i]))
			k++;
		first[h[i].i] = h[k].i;
	}
	return h;
}

struct tenants {
	const struct ha_conf *conf;
	struct hashed *sorted; /* owned; conf->routers by the hash of their tenants' names */
};

/* A tenant's number comes of its name, so that the next configuration has the same: tunnels that
 * are there when it comes keep theirs.  Two names of one hash are told apart all the same. */
static struct tenants number_tenants(struct ha_conf *c)
{
	struct text *names = array(c->n_routers, sizeof(*names));
	unsigned *first = array(c->n_routers, sizeof(*first));
	struct tenants t = {.conf = c};
	uint32_t last = 0; /* 0 is nobody */

	for (unsigned i = 0; i < c->n_routers; i++)
		names[i] = (struct text){c->routers[i].tenant, strlen(c->routers[i].tenant)};
	t.sorted = sort_texts(names, c->n_routers, first);
	for (unsigned k = 0; k < c->n_routers; k++) {
		unsigned i = t.sorted[k].i;

		if (first[i] == i)
			last = t.sorted[k].hash > last ? t.sorted[k].hash : last + 1;
		c->routers[i].tenant_id = first[i] == i ? last : c->routers[first[i]].tenant_id;
	}
	free(names);
	free(first);
	return t;
}

static uint32_t tenant_id(const struct tenants *t, const char *name)
{
	unsigned lo = 0, hi = t->conf->n_routers;
	uint32_t hash;

	HASH_JEN(name, strlen(name), hash);
	while (lo < hi) { /* the first of this hash */
		unsigned mid = lo + (hi - lo) / 2;

		if (t->sorted[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < t->conf->n_routers && t->sorted[lo].hash == hash; lo++) {
		const struct ha_router *r = &t->conf->routers[t->sorted[lo].i];

		if (strcmp(r->tenant, name) == 0)
			return r->tenant_id;
	}
	return 0;
}

static void check_allow(struct conf *conf, struct ha_file *f, const struct tenants *tenants)
{
	f->allow_ids = calloc(f->n_allow + 1, sizeof(*f->allow_ids));
	if (!f->allow_ids)
		abort();
	for (unsigned i = 0; i < f->n_allow; i++) {
		const struct ha_allow_conf *a = &f->allow[i];

		f->allow_ids[i].from = tenant_id(tenants, a->from);
		f->allow_ids[i].to = tenant_id(tenants, a->to);
		if (!f->allow_ids[i].from)
			conf_error(conf, a->line, "allow.from", "no router has tenant \"%s\"",
				a->from);
		if (!f->allow_ids[i].to)
			conf_error(conf, a->line, "allow.to", "no router has tenant \"%s\"", a->to);
	}
}

static bool served(const struct ha_conf *c, const struct ha_router *r)
{
	for (unsigned i = 0; i < c->n_home; i++)
		if (prefix6_has(&c->home[i], &r->hoa))
			return true;
	for (unsigned i = 0; i < r->n_prefixes; i++)
		if (prefix6_has(&r->prefixes[i], &r->hoa))
			return true;
	return false;
}

static void check_twice(
	struct conf *conf, const struct ha_conf *c, const struct text *v, const char *what)
{
	unsigned *first = array(c->n_routers, sizeof(*first));

	free(sort_texts(v, c->n_routers, first));
	for (unsigned i = 0; i < c->n_routers; i++)
		if (first[i] != i)
			conf_error(conf, c->routers[i].line, what, "used before, in line %u",
				c->routers[first[i]].line);
	free(first);
}

/* What a daemon that has given up root's rights can't read again holds as it is known. */
static bool known_keys(
	struct ha_file *f, unsigned i, enum sec_mode mode, const struct ha_file *running)
{
	const struct ha_router *r = &f->core.routers[i], *was;
	unsigned k = i;

	if (!running || mode == SEC_NONE || !running->core.n_routers || !protect_denied(r->keys))
		return false;
	for (unsigned n = 0; n < running->core.n_routers; n++, k++) {
		was = &running->core.routers[k % running->core.n_routers];
		if (!addr6_eq(&was->hoa, &r->hoa))
			continue;
		f->keys[i] = running->keys[k % running->core.n_routers];
		return strcmp(was->keys, r->keys) == 0 && ha_conf_protection(running, was) == mode;
	}
	return false;
}

/* An identity stands for one home address. */
static void read_keys(struct conf *conf, struct ha_file *f, const struct ha_file *running)
{
	struct text *ids = array(f->core.n_routers, sizeof(*ids)),
		    *names = array(f->core.n_routers, sizeof(*names));
	unsigned n_denied = 0;

	f->keys = OPENSSL_zalloc((f->core.n_routers + 1) * sizeof(*f->keys));
	f->refused = calloc(f->core.n_routers + 1, sizeof(*f->refused));
	if (!f->keys || !f->refused)
		abort();
	for (unsigned i = 0; i < f->core.n_routers; i++) {
		struct ha_router *r = &f->core.routers[i];
		enum sec_mode mode = ha_conf_protection(f, r);
		const char *id = f->keys[i].psk.id;

		r->no_mpd = mode == SEC_AUTH;
		if (known_keys(f, i, mode, running))
			n_denied++;
		else
			protect_read_keys(conf, r->line, mode, r->keys, *r->identity, &f->keys[i]);
		/* Keys that were known may have had another. */
		memset(f->keys[i].cert_id, 0, sizeof(f->keys[i].cert_id));
		memcpy(f->keys[i].cert_id, r->identity, strlen(r->identity));
		if (mode == SEC_ESP && *id)
			ids[i] = (struct text){id, strlen(id)};
		names[i] = (struct text){r->identity, strlen(r->identity)};
		if (*r->identity && (mode != SEC_ESP || !*f->certs.certificate))
			conf_error(conf, r->line, "identity",
				"needs protection = \"esp\" and the home agent's certificate");
	}
	check_twice(conf, &f->core, ids, "keys: psk identity");
	check_twice(conf, &f->core, names, "identity");
	free(ids);
	free(names);
	if (n_denied)
		conf_warn(conf, 0, "keys", PROTECT_DENIED, n_denied);
	if (!running) /* they can't change then */
		certs_check(conf, &f->certs);
}

static void check_routers(struct conf *conf, const struct ha_conf *c)
{
	struct text *names = array(c->n_routers, sizeof(*names)),
		    *hoas = array(c->n_routers, sizeof(*hoas));

	for (unsigned i = 0; i < c->n_routers; i++) {
		const struct ha_router *r = &c->routers[i];

		if (conf_misread(conf, &r->hoa))
			continue;
		if (!addr6_is_routable(&r->hoa))
			conf_error(conf, r->line, "home_address", "not a unicast routable address");
		else if (addr6_eq(&r->hoa, &c->address))
			conf_error(conf, r->line, "home_address", "is the home agent's own");
		else if (!conf->partial && !served(c, r))
			conf_error(conf, r->line, "home_address",
				"in none of home_prefixes and none of the router's own prefixes");
		if (r->max_lifetime_s && r->max_lifetime_s < 4) /* counted in units of 4 s */
			conf_error(conf, r->line, "max_lifetime",
				"%u is below 4, the least there is", r->max_lifetime_s);
		names[i] = (struct text){r->name, strlen(r->name)};
		hoas[i] = (struct text){&r->hoa, sizeof(r->hoa)};
	}
	check_twice(conf, c, names, "name");
	check_twice(conf, c, hoas, "home_address");
	free(names);
	free(hoas);
}

static void check_network(struct conf *conf, const struct ha_conf *c, const struct ha_router *r,
	const char *key, const struct prefix6 *p)
{
	char s[PREFIX6_STRLEN];

	if (conf_misread(conf, &p->addr))
		return;
	if (p->len == 0 || !addr6_is_routable(&p->addr))
		conf_error(conf, r->line, key, "%s is no prefix for a network", prefix6_str(p, s));
	else if (prefix6_has(p, &c->address))
		conf_error(conf, r->line, key, "%s has the home agent's address in it",
			prefix6_str(p, s));
}

/* What a routing daemon says must never reach what others, or the home network, have. */
static void check_learn(struct conf *conf, const struct ha_conf *c, const struct ha_router *r)
{
	char sa[PREFIX6_STRLEN], sb[PREFIX6_STRLEN];

	for (unsigned i = 0; i < r->n_learn; i++) {
		const struct prefix6 *p = &r->learn[i];

		check_network(conf, c, r, "learn", p);
		for (unsigned k = 0; k < c->n_home; k++)
			if (prefix6_overlaps(p, &c->home[k]))
				conf_error(conf, r->line, "learn", "%s overlaps home prefix %s",
					prefix6_str(p, sa), prefix6_str(&c->home[k], sb));
	}
}

static void check_prefixes(struct conf *conf, const struct ha_conf *c)
{
	struct table t;
	char sa[PREFIX6_STRLEN], sb[PREFIX6_STRLEN];

	for (unsigned i = 0; i < c->n_routers; i++) {
		for (unsigned k = 0; k < c->routers[i].n_prefixes; k++)
			check_network(
				conf, c, &c->routers[i], "prefixes", &c->routers[i].prefixes[k]);
		check_learn(conf, c, &c->routers[i]);
	}
	if (table_build(&t, c) < 0)
		abort();
	for (unsigned a = 0, b = 1; b < t.n; b++) { /* 'a' is the last that nothing covers */
		const struct ha_router *ra = &c->routers[t.v[a].router],
				       *rb = &c->routers[t.v[b].router];

		if (!prefix6_overlaps(&t.v[a].prefix, &t.v[b].prefix)) {
			a = b;
			continue;
		}
		conf_error(conf, rb->line, "prefixes", "%s of %s overlaps %s of %s (line %u)",
			prefix6_str(&t.v[b].prefix, sb), rb->name, prefix6_str(&t.v[a].prefix, sa),
			ra->name, ra->line);
	}
	table_free(&t);
}

static void check_payload(struct conf *conf, const struct ha_file *f)
{
	enum sec_mode mode = (enum sec_mode)f->protection;
	unsigned line = 0;

	if (f->payload != SEC_PAYLOAD_ESP)
		return;
	for (unsigned i = 0; i < f->core.n_routers && mode == SEC_ESP; i++) {
		line = f->core.routers[i].line;
		mode = ha_conf_protection(f, &f->core.routers[i]);
	}
	protect_check_payload(conf, ha_conf_engine(f), line, mode);
}

static void check_agents(struct conf *conf, const struct ha_conf *c)
{
	for (unsigned i = 0; i < c->n_agents; i++) {
		const struct ha_agent_conf *a = &c->agents[i];

		if (conf_misread(conf, &a->address))
			continue;
		if (!addr6_is_routable(&a->address))
			conf_error(conf, a->line, "home_agents.address",
				"not a unicast routable address");
		if (addr6_eq(&a->address, &c->address))
			conf_error(conf, a->line, "home_agents.address",
				"is our own; preference is the key for that");
	}
}

void ha_conf_check(struct conf *conf, struct ha_file *f, const struct ha_file *running)
{
	struct tenants tenants;

	if (!conf_misread(conf, &f->core.address) && !addr6_is_routable(&f->core.address))
		conf_error(conf, 0, "address", "not a unicast routable address");
	if (f->core.home_link && !f->core.n_home)
		conf_error(conf, 0, "home_link", "needs home_prefixes: what is on that link");
	if (f->home_routes && !f->core.home_link)
		conf_error(conf, 0, "home_routes", "needs home_link");
	if (f->mtu && f->mtu < 1280)
		conf_error(conf, 0, "mtu", "%u is below 1280, the least that IPv6 allows", f->mtu);
	check_agents(conf, &f->core);
	check_routers(conf, &f->core);
	check_prefixes(conf, &f->core);
	tenants = number_tenants(&f->core);
	check_allow(conf, f, &tenants);
	free(tenants.sorted);
	protect_owner(running ? running->user : f->user);
	read_keys(conf, f, running);
	check_payload(conf, f);
}
