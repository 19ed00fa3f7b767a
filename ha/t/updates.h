/* updates.h - a home agent, what it is sent and what it answers: for test_ha.c and test_binding.c.
 *
 *   home network 2001:db8:100::/64, aggregate 2001:db8:100::/48, home agent 2001:db8:1::1
 *   router  home address          prefixes
 *   two     2001:db8:100::1       2001:db8:100:1::/64, 2001:db8:100:2::/64   at most 300 s
 *   one     2001:db8:100::2       2001:db8:100:3::/64
 *   host    2001:db8:100::3       none, may not use R
 *   bare    2001:db8:100::4       none, may use R
 *   far     2001:db8:200:1::1     2001:db8:200:1::/64   home address out of its own prefix */
#pragma once
#include "common/wire/t/packet.h"
#include "ha/binding.h"

enum { TWO, ONE, HOST, BARE, FAR, N_ROUTERS };

static struct prefix6 home[1], aggregates[1], prefixes[N_ROUTERS][2];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf;
static struct ha *ha;
static struct ha_out out;
static uint64_t now;

static inline void router(
	unsigned i, const char *name, const char *hoa, const char *p0, const char *p1)
{
	struct ha_router *r = &routers[i];

	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->tenant, sizeof(r->tenant), "t");
	r->tenant_id = i + 1;
	r->hoa = A(hoa);
	r->prefixes = prefixes[i];
	if (p0)
		r->prefixes[r->n_prefixes++] = P(p0);
	if (p1)
		r->prefixes[r->n_prefixes++] = P(p1);
	r->mobile_router = i != HOST;
}

static inline int setup(void **state)
{
	(void)state;
	home[0] = P("2001:db8:100::/64");
	aggregates[0] = P("2001:db8:100::/48");
	router(TWO, "two", "2001:db8:100::1", "2001:db8:100:1::/64", "2001:db8:100:2::/64");
	router(ONE, "one", "2001:db8:100::2", "2001:db8:100:3::/64", NULL);
	router(HOST, "host", "2001:db8:100::3", NULL, NULL);
	router(BARE, "bare", "2001:db8:100::4", NULL, NULL);
	router(FAR, "far", "2001:db8:200:1::1", "2001:db8:200:1::/64", NULL);
	routers[TWO].max_lifetime_s = 300;
	conf = (struct ha_conf){.address = A("2001:db8:1::1"),
		.n_home = 1,
		.home = home,
		.n_aggregates = 1,
		.aggregates = aggregates,
		.n_routers = N_ROUTERS,
		.routers = routers,
		.max_lifetime_s = 600};
	ha = ha_new(&conf);
	assert_non_null(ha);
	now = 1000000;
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	return 0;
}

/* --- what goes in --- */

static inline struct mh_env update(unsigned i, const char *coa, uint16_t seq)
{
	struct mh_env e;

	memset(&e, 0, sizeof(e));
	e.src = A(coa);
	e.dst = conf.address;
	e.hoa = routers[i].hoa;
	e.m.type = MH_BU;
	e.m.bu = (struct mh_bu){seq, MH_BU_A | MH_BU_H | MH_BU_R, 200};
	return e;
}

static inline void add_mnp(struct mh_env *e, const char *prefix)
{
	e->m.o.mnp[e->m.o.n_mnp++] = P(prefix);
}

static inline void receive(const struct mh_env *e)
{
	struct ha_event ev = {.type = HA_EV_MH, .mh = *e};

	ha_step(ha, &ev, now, &out);
}

static inline void tick(void)
{
	struct ha_event ev = {.type = HA_EV_TICK};

	ha_step(ha, &ev, now, &out);
}

/* --- what comes out --- */

static inline unsigned count(enum ha_action_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < out.n; i++)
		n += out.v[i].type == type;
	return n;
}

static inline const struct ha_action *only(enum ha_action_type type)
{
	assert_int_equal(count(type), 1);
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == type)
			return &out.v[i];
	return NULL;
}

/* The update gets exactly one acknowledgement, with 'status'. */
static inline const struct mh_env *answered(const struct mh_env *e, int status)
{
	receive(e);
	const struct mh_env *ba = &only(HA_DO_SEND)->mh;

	assert_int_equal(ba->m.type, MH_BA);
	assert_int_equal(ba->m.ba.status, status);
	return ba;
}

static inline bool bound_tunnel(unsigned i, struct tunnel *t)
{
	unsigned k = 0;

	while (ha_next_tunnel(ha, &k, t))
		if (addr6_eq(&t->id, &routers[i].hoa))
			return true;
	return false;
}

/* All bindings as shown, but for the sequence number: a rejected update may use it up (s9.5.1). */
static inline char *bindings(void)
{
	json_t *list = ha_show_bindings(ha, now), *b;
	size_t i;

	json_array_foreach (list, i, b)
		json_object_del(b, "sequence");
	char *text = json_dumps(list, JSON_SORT_KEYS);

	json_decref(list);
	return text;
}

/* Rejected with 'status', and nothing that was there changes. */
static inline const struct mh_env *rejected(const struct mh_env *e, int status)
{
	char *before = bindings();
	uint64_t deadline = ha_deadline(ha), n = ha_counter(ha, HA_C_bu_rejected);
	const struct mh_env *ba = answered(e, status);
	char *after = bindings();

	assert_string_equal(before, after);
	assert_int_equal(ha_deadline(ha), deadline);
	assert_int_equal(count(HA_DO_TUNNEL_PUT) + count(HA_DO_TUNNEL_DROP), 0);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_REJECTED);
	assert_int_equal(only(HA_DO_NOTE)->note.status, status);
	assert_int_equal(ha_counter(ha, HA_C_bu_rejected), n + 1);
	assert_int_equal(ba->m.ba.lifetime_s, 0);
	free(before);
	free(after);
	return ba;
}

static inline void dropped(const struct mh_env *e, enum ha_counter c)
{
	char *before = bindings();
	uint64_t n = ha_counter(ha, c);

	receive(e);
	char *after = bindings();

	assert_int_equal(out.n, 0);
	assert_int_equal(ha_counter(ha, c), n + 1);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static inline void bind_two(uint16_t seq)
{
	struct mh_env e = update(TWO, "2001:db8:a::2", seq);

	answered(&e, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
