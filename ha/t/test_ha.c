/* test_ha.c - the home agent core: which Binding Update gets which answer, and what it may change
 * (RFC 6275 s9.5, s10.3; RFC 3963 s6).
 *
 *   home network 2001:db8:100::/64, aggregate 2001:db8:100::/48, home agent 2001:db8:1::1
 *   router  home address          prefixes
 *   two     2001:db8:100::1       2001:db8:100:1::/64, 2001:db8:100:2::/64   at most 300 s
 *   one     2001:db8:100::2       2001:db8:100:3::/64
 *   host    2001:db8:100::3       none, may not use R
 *   bare    2001:db8:100::4       none, may use R
 *   far     2001:db8:200:1::1     2001:db8:200:1::/64   home address out of its own prefix */
#include <errno.h>
#include "common/wire/t/packet.h"
#include "ha/binding.h"

enum { TWO, ONE, HOST, BARE, FAR, N_ROUTERS };

static struct prefix6 home[1], aggregates[1], prefixes[N_ROUTERS][2];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf;
static struct ha *ha;
static struct ha_out out;
static uint64_t now;

static void router(unsigned i, const char *name, const char *hoa, const char *p0, const char *p1)
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

static int setup(void **state)
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

static int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	return 0;
}

/* --- what goes in --- */

static struct mh_env update(unsigned i, const char *coa, uint16_t seq)
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

static void add_mnp(struct mh_env *e, const char *prefix)
{
	e->m.o.mnp[e->m.o.n_mnp++] = P(prefix);
}

static void receive(const struct mh_env *e)
{
	struct ha_event ev = {.type = HA_EV_MH, .mh = *e};

	ha_step(ha, &ev, now, &out);
}

static void tick(void)
{
	struct ha_event ev = {.type = HA_EV_TICK};

	ha_step(ha, &ev, now, &out);
}

/* --- what comes out --- */

static unsigned count(enum ha_action_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < out.n; i++)
		n += out.v[i].type == type;
	return n;
}

static const struct ha_action *only(enum ha_action_type type)
{
	assert_int_equal(count(type), 1);
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == type)
			return &out.v[i];
	return NULL;
}

/* The update gets exactly one acknowledgement, with 'status'. */
static const struct mh_env *answered(const struct mh_env *e, int status)
{
	receive(e);
	const struct mh_env *ba = &only(HA_DO_SEND)->mh;

	assert_int_equal(ba->m.type, MH_BA);
	assert_int_equal(ba->m.ba.status, status);
	return ba;
}

static bool bound_tunnel(unsigned i, struct tunnel *t)
{
	unsigned k = 0;

	while (ha_next_tunnel(ha, &k, t))
		if (addr6_eq(&t->id, &routers[i].hoa))
			return true;
	return false;
}

/* All bindings as shown, but for the sequence number: a rejected update may use it up (s9.5.1). */
static char *bindings(void)
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
static const struct mh_env *rejected(const struct mh_env *e, int status)
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

static void dropped(const struct mh_env *e, enum ha_counter c)
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

static void bind_two(uint16_t seq)
{
	struct mh_env e = update(TWO, "2001:db8:a::2", seq);

	answered(&e, 0);
}

/* --- acceptance --- */

static void a_registration_is_acknowledged_after_the_tunnel_is_put(void **state) /* s10.3.1 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 7);

	(void)state;
	receive(&e);
	assert_int_equal(out.n, 3);
	assert_int_equal(out.v[0].type, HA_DO_TUNNEL_PUT);
	assert_int_equal(out.v[1].type, HA_DO_SEND);
	assert_int_equal(out.v[2].type, HA_DO_NOTE);
	assert_int_equal(out.v[2].note.type, NOTE_BINDING_ACCEPTED);

	const struct tunnel *t = &out.v[0].tunnel;
	assert_memory_equal(&t->id, &routers[TWO].hoa, 16);
	assert_memory_equal(&t->local, &conf.address, 16);
	assert_memory_equal(&t->remote, &e.src, 16);
	assert_int_equal(t->tenant, 1);
	assert_int_equal(t->n_routes, 3); /* home address and both prefixes (RFC 3963 s6.2) */

	const struct mh_env *ba = &out.v[1].mh;
	assert_memory_equal(&ba->src, &e.dst, 16);
	assert_memory_equal(&ba->dst, &e.src, 16);
	assert_memory_equal(&ba->hoa, &e.hoa, 16); /* by type 2 routing header (s9.5.4) */
	assert_int_equal(ba->m.ba.status, 0);
	assert_int_equal(ba->m.ba.seq, 7);
	assert_int_equal(ba->m.ba.lifetime_s, 200);
	assert_int_equal(ba->m.ba.flags, MH_BA_R); /* K = 0, R mirrored (RFC 3963 s6.6) */
	assert_int_equal(ha_n_bound(ha), 1);
}

static void an_update_without_the_a_flag_is_answered_too(void **state) /* s10.3.1 */
{
	struct mh_env e = update(ONE, "2001:db8:a::2", 7);

	(void)state;
	e.m.bu.flags = MH_BU_H | MH_BU_R | MH_BU_K;
	assert_int_equal(answered(&e, 0)->m.ba.flags, MH_BA_R);
}

static void the_alternate_care_of_address_is_bound_but_not_answered(void **state) /* s9.5.4 */
{
	struct mh_env e = update(ONE, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.m.o.alt_coa = A("2001:db8:b::2");
	assert_memory_equal(&answered(&e, 0)->dst, &e.src, 16);
	assert_true(bound_tunnel(ONE, &t));
	assert_memory_equal(&t.remote, &e.m.o.alt_coa, 16);
}

static void an_answer_comes_from_the_address_that_was_asked(void **state) /* s9.5.4 */
{
	struct mh_env e = update(ONE, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.dst = A("2001:db8:1::99");
	assert_memory_equal(&answered(&e, 0)->src, &e.dst, 16);
	assert_true(bound_tunnel(ONE, &t));
	assert_memory_equal(&t.local, &e.dst, 16);
}

static void the_shortest_lifetime_is_granted_in_units_of_four_seconds(void **state) /* s10.3.1 */
{
	static const struct {
		unsigned router_s, ha_s, asked, granted;
	} v[] = {{300, 600, 200, 200}, {300, 600, 400, 300}, {0, 600, 262140, 600},
		{302, 600, 400, 300}, {0, 603, 604, 600}, {700, 600, 640, 640}, {4, 600, 400, 4}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(TWO, "2001:db8:a::2", (uint16_t)(i + 1));

		routers[TWO].max_lifetime_s = v[i].router_s;
		conf.max_lifetime_s = v[i].ha_s;
		e.m.bu.lifetime_s = v[i].asked;
		assert_int_equal(answered(&e, 0)->m.ba.lifetime_s, v[i].granted);
		assert_int_equal(ha_deadline(ha), now + v[i].granted * 1000);
	}
}

static void a_mobile_host_registers_its_home_address_alone(void **state) /* RFC 6275 s10.3.1 */
{
	struct mh_env e = update(HOST, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	assert_int_equal(answered(&e, 0)->m.ba.flags, 0);
	assert_true(bound_tunnel(HOST, &t));
	assert_int_equal(t.n_routes, 1);
	assert_memory_equal(&t.routes[0].addr, &routers[HOST].hoa, 16);
	assert_int_equal(t.routes[0].len, 128);
}

static void a_router_bound_as_host_forwards_no_prefix(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	add_mnp(&e, "2001:db8:100:1::/64"); /* means nothing without R */
	answered(&e, 0);
	assert_true(bound_tunnel(TWO, &t));
	assert_int_equal(t.n_routes, 1);
}

static void a_home_address_out_of_the_mobile_prefix_is_served(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(FAR, "2001:db8:a::2", 7);

	(void)state;
	answered(&e, 0);
}

static bool routes(const struct tunnel *t, const char *prefix)
{
	struct prefix6 p = P(prefix);

	for (unsigned i = 0; i < t->n_routes; i++)
		if (prefix6_eq(&t->routes[i], &p))
			return true;
	return false;
}

static void a_refresh_withdraws_and_adds_prefixes(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 1);
	const struct tunnel *t;

	(void)state;
	add_mnp(&e, "2001:db8:100:1::/64");
	answered(&e, 0);
	t = &only(HA_DO_TUNNEL_PUT)->tunnel;
	assert_int_equal(t->n_routes, 2);
	assert_true(routes(t, "2001:db8:100:1::/64"));

	e = update(TWO, "2001:db8:a::2", 2);
	add_mnp(&e, "2001:db8:100:2::/64");
	add_mnp(&e, "2001:db8:100:2::/64"); /* twice is once */
	answered(&e, 0);
	t = &only(HA_DO_TUNNEL_PUT)->tunnel;
	assert_int_equal(t->n_routes, 2);
	assert_true(routes(t, "2001:db8:100:2::/64"));

	e = update(TWO, "2001:db8:a::2", 3); /* explicit to implicit: the configuration decides */
	answered(&e, 0);
	t = &only(HA_DO_TUNNEL_PUT)->tunnel;
	assert_int_equal(t->n_routes, 3);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_REFRESHED);

	e = update(TWO, "2001:db8:b::2", 4);
	add_mnp(&e, "2001:db8:100:2::/64");
	add_mnp(&e, "2001:db8:100:1::/64");
	answered(&e, 0);
	assert_int_equal(only(HA_DO_TUNNEL_PUT)->tunnel.n_routes, 3);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_MOVED);
	assert_memory_equal(&only(HA_DO_NOTE)->note.coa, &e.src, 16);
}

/* --- rejections, without a binding and with a live one that must stay --- */

static void twice(const struct mh_env *e, int status)
{
	struct mh_env again = *e;

	rejected(e, status);
	bind_two(10);
	again.m.bu.seq = 11;
	rejected(&again, status);
	teardown(NULL);
	setup(NULL);
}

static void prefixes_are_all_or_nothing(void **state) /* RFC 3963 s6.2, HOSTILE input 4 */
{
	static const struct {
		const char *mnp;
		int status;
	} v[] = {{"::/0", 141}, {"2001:db8:100:1::1/64", 141}, {"ff0e::/64", 141},
		{"fe80::/64", 141}, {"2001:db8:100:3::/64", 142}, {"2001:db8:100::/48", 142},
		{"2001:db8:100::/64", 142}, {"2001:db8:100:1::/65", 142},
		{"2001:db8:100:1::1/128", 142}, {"2001:db8:1::/64", 142}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		for (unsigned after = 0; after < 2; after++) {
			struct mh_env e = update(TWO, "2001:db8:b::2", 1);

			if (after)
				add_mnp(&e, "2001:db8:100:1::/64");
			add_mnp(&e, v[i].mnp);
			if (!after)
				add_mnp(&e, "2001:db8:100:1::/64");
			twice(&e, v[i].status);
		}
	}
	struct mh_env e = update(TWO, "2001:db8:b::2", 1);

	e.m.o.mnp_bad = true;
	add_mnp(&e, "2001:db8:100:3::/64"); /* malformed before foreign */
	twice(&e, 141);
}

static void a_care_of_address_behind_the_home_agent_gets_174(void **state) /* RFC 6275 s15.1 */
{
	static const char *const v[] = {"2001:db8:1::1", "2001:db8:100::77", "2001:db8:100:1::5",
		"2001:db8:100:ffff::1", "2001:db8:100::2", "2001:db8:200:1::1"};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(TWO, v[i], 1);

		twice(&e, 174); /* as source */
		e = update(TWO, "2001:db8:b::2", 1);
		e.m.o.alt_coa = A(v[i]);
		twice(&e, 174); /* as option */
	}
	struct mh_env e = update(HOST, "2001:db8:b::2", 1); /* its own home address, without R */

	e.m.bu.flags = MH_BU_A | MH_BU_H;
	e.m.o.alt_coa = e.hoa;
	twice(&e, 174);
	e = update(ONE, "2001:db8:b::2", 1); /* another address of this home agent */
	e.dst = e.m.o.alt_coa = A("2001:db8:1::99");
	twice(&e, 174);
}

static void a_router_behind_a_router_is_served(void **state) /* RFC 3963 s1 */
{
	struct mh_env e = update(ONE, "2001:db8:200:1::9", 1);

	(void)state;
	answered(&e, 0); /* behind FAR, which is not bound yet */
	e = update(FAR, "2001:db8:100:1::9", 1);
	answered(&e, 0); /* and FAR behind TWO: three levels */
	e = update(TWO, "2001:db8:b::2", 1);
	answered(&e, 0);
}

/* RFC 6275 s15.1; each update by itself is harmless. */
static void a_ring_of_routers_behind_each_other_is_refused(void **state)
{
	struct mh_env e = update(ONE, "2001:db8:200:1::9", 1);

	(void)state;
	answered(&e, 0); /* ONE behind FAR */
	e = update(FAR, "2001:db8:100:3::9", 1);
	rejected(&e, 174); /* FAR behind ONE */
	e = update(FAR, "2001:db8:100:2::9", 1);
	answered(&e, 0); /* FAR behind TWO */
	e = update(TWO, "2001:db8:100:3::9", 1);
	rejected(&e, 174); /* TWO behind ONE, which is behind FAR, which is behind TWO */
	e = update(FAR, "2001:db8:b::2", 2);
	answered(&e, 0); /* FAR goes elsewhere */
	e = update(TWO, "2001:db8:100:3::9", 20);
	answered(&e, 0);
	e = update(FAR, "2001:db8:100:2::9", 3);
	rejected(&e, 174); /* and can't come back meanwhile */
}

static void strangers_and_missing_rights_are_told_so(void **state) /* RFC 6275 s10.3.1 */
{
	struct mh_env e = update(ONE, "2001:db8:b::2", 1);

	(void)state;
	e.hoa = A("2001:db8:100::99"); /* home network, not in the table */
	twice(&e, 129);
	e.hoa = A("2001:db8:300::1"); /* home address nobody serves */
	twice(&e, 132);
	e = update(BARE, "2001:db8:b::2", 1); /* implicit, and nothing configured: RFC 3963 s6.2 */
	twice(&e, 143);
	add_mnp(&e, "2001:db8:100:1::/64");
	twice(&e, 142);
	e = update(ONE, "2001:db8:b::2", 1); /* nothing to de-register: s10.3.2 */
	e.m.bu.lifetime_s = 0;
	twice(&e, 133);
}

static void router_operation_not_permitted_is_answered_without_r(void **state) /* RFC 3963 s4.2 */
{
	struct mh_env e = update(HOST, "2001:db8:b::2", 1);

	(void)state;
	assert_int_equal(rejected(&e, 140)->m.ba.flags, 0);
	twice(&e, 140);
	e = update(ONE, "2001:db8:b::2", 1); /* R = 1, H = 0: RFC 3963 s6.2 */
	e.m.bu.flags = MH_BU_A | MH_BU_R;
	assert_int_equal(rejected(&e, 140)->m.ba.flags, 0);
	twice(&e, 140);
	add_mnp(&e, "2001:db8:100:1::/64");
	e.m.bu.flags |= MH_BU_H;
	assert_int_equal(rejected(&e, 142)->m.ba.flags, MH_BA_R);
}

static void h_and_r_of_a_live_binding_do_not_change(void **state) /* 6275 s9.5.1, 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:b::2", 11);

	(void)state;
	bind_two(10);
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	rejected(&e, 139);
	e.m.bu.seq++;
	e.m.bu.flags = MH_BU_A;
	rejected(&e, 139);
	e.m.bu.seq++;
	e.m.bu.flags = MH_BU_A | MH_BU_R;
	rejected(&e, 139);

	e = update(ONE, "2001:db8:a::2", 1); /* R = 0 to 1 */
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	answered(&e, 0);
	e = update(ONE, "2001:db8:b::2", 2);
	rejected(&e, 139);
	e.m.bu = (struct mh_bu){3, MH_BU_A | MH_BU_H | MH_BU_R, 0};
	answered(&e, 0); /* a de-registration may have any R */
}

static void flags_that_nobody_knows_are_ignored(void **state) /* RFC 6275 s6.1.1 */
{
	const uint16_t known = MH_BU_A | MH_BU_H | MH_BU_L | MH_BU_K | MH_BU_M | MH_BU_R;

	(void)state;
	for (unsigned r = 0; r < 2; r++) {
		unsigned i = r ? TWO : ONE;
		struct mh_env e = update(i, "2001:db8:a::2", 1);

		e.m.bu.flags = (uint16_t)(MH_BU_A | MH_BU_H | (r ? MH_BU_R : 0) | ~known);
		assert_int_equal(answered(&e, 0)->m.ba.flags, r ? MH_BA_R : 0);
		e.m.bu.seq++;
		e.m.bu.flags &= known; /* the same binding: else 139 */
		answered(&e, 0);
	}
}

static void a_tunnel_that_fails_gets_130(void **state) /* RFC 6275 s10.3.1 */
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -ENOMEM};
	struct mh_env e = update(TWO, "2001:db8:b::2", 1);
	struct tunnel t;

	(void)state;
	for (unsigned live = 0; live < 2; live++, e.m.bu.seq = 11) {
		uint64_t deadline = ha_deadline(ha);
		char *before = bindings(), *after;

		answered(&e, 0);
		ha_step(ha, &failed, now, &out);
		after = bindings();
		assert_int_equal(only(HA_DO_SEND)->mh.m.ba.status, 130);
		assert_int_equal(only(HA_DO_SEND)->mh.m.ba.seq, e.m.bu.seq);
		assert_int_equal(only(HA_DO_SEND)->mh.m.ba.lifetime_s, 0);
		assert_string_equal(before, after);
		assert_int_equal(ha_deadline(ha), deadline);
		assert_int_equal(ha_n_bound(ha), live);
		assert_int_equal(count(HA_DO_TUNNEL_PUT), live); /* what was there is put again */
		assert_int_equal(ha_counter(ha, HA_C_tunnel_failed), live + 1);
		free(before);
		free(after);
		if (live) {
			assert_true(bound_tunnel(TWO, &t));
			assert_memory_equal(&t.remote, &only(HA_DO_TUNNEL_PUT)->tunnel.remote, 16);
			break;
		}
		bind_two(10);
	}
	ha_step(ha, &failed, now, &out); /* putting the old one back failed too: no false binding */
	assert_int_equal(count(HA_DO_SEND), 0);
	assert_int_equal(count(HA_DO_TUNNEL_DROP), 1);
	assert_int_equal(ha_n_bound(ha), 0);
	answered(&e, 0);
}

static void the_answer_to_a_failed_tunnel_does_not_wait_for_its_repair(void **state)
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -ENOMEM};
	struct mh_env e = update(TWO, "2001:db8:b::2", 11);

	(void)state;
	bind_two(10);
	receive(&e);
	ha_step(ha, &failed, now, &out); /* the caller stops at a TUNNEL_PUT that fails */
	assert_int_equal(out.v[0].type, HA_DO_SEND);
}

/* --- sequence numbers --- */

static void sequence_numbers_are_compared_modulo_65536(void **state) /* RFC 6275 s9.5.1 */
{
	static const struct {
		uint16_t last, seq;
		bool newer;
	} v[] = {{15, 32782, true}, {15, 32783, false}, {15, 15, false}, {15, 14, false},
		{15, 0, false}, {15, 65535, false}, {15, 16, true}, {65535, 0, true},
		{65535, 65534, false}, {0, 32767, true}, {0, 32768, false}, {40000, 7231, true},
		{40000, 7232, false}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(TWO, "2001:db8:b::2", v[i].seq);

		bind_two(v[i].last); /* any number does for the first */
		if (v[i].newer) {
			assert_int_equal(answered(&e, 0)->m.ba.seq, v[i].seq);
		} else { /* the last number that was accepted, not the update's */
			assert_int_equal(rejected(&e, 135)->m.ba.seq, v[i].last);
		}
		teardown(NULL);
		setup(NULL);
	}
}

static void a_number_is_used_up_even_if_the_update_is_rejected(void **state) /* RFC 6275 s9.5.1 */
{
	struct mh_env e = update(TWO, "2001:db8:b::2", 20);

	(void)state;
	bind_two(10);
	add_mnp(&e, "2001:db8:100:3::/64");
	assert_int_equal(rejected(&e, 142)->m.ba.seq, 20);
	e = update(TWO, "2001:db8:b::2", 20);
	assert_int_equal(rejected(&e, 135)->m.ba.seq, 20);
	e.m.bu.seq = 15;
	assert_int_equal(rejected(&e, 135)->m.ba.seq, 20);
	e.m.bu.seq = 21;
	answered(&e, 0);
}

/* --- what is dropped without a word --- */

static void addresses_that_nobody_can_have_are_dropped(void **state) /* RFC 6275 s6.1.7, s9.5 */
{
	static const char *const bad[] = {
		"::", "::1", "fe80::1", "ff02::1", "ff0e::1", "::ffff:10.0.0.1"};

	(void)state;
	bind_two(10);
	for (unsigned i = 0; i < N_OF(bad); i++) {
		struct mh_env e = update(TWO, bad[i], 11);

		dropped(&e, HA_C_bu_source);
		e = update(TWO, "2001:db8:b::2", 11);
		if (i > 0) { /* :: stands for no option, no header */
			e.m.o.alt_coa = A(bad[i]);
			dropped(&e, HA_C_bu_care_of);
			e = update(TWO, "2001:db8:b::2", 11);
			e.hoa = A(bad[i]);
			dropped(&e, HA_C_bu_home_address);
		}
	}
}

static void updates_for_another_role_are_dropped(void **state) /* RFC 6275 s9.5.1, s10.3.1 */
{
	struct mh_env e = update(TWO, "2001:db8:b::2", 11);

	(void)state;
	e.m.bu.flags = MH_BU_A; /* a correspondent node's; on a live binding: 139 */
	dropped(&e, HA_C_bu_correspondent);
	bind_two(10);
	e = update(TWO, "2001:db8:b::2", 11);
	e.m.o.has_nonce = true;
	dropped(&e, HA_C_bu_nonce);
	e = update(TWO, "2001:db8:b::2", 11);
	e.m.o.auth_misplaced = true;
	dropped(&e, HA_C_bu_auth_place);
	e = update(TWO, "2001:db8:100::1", 11); /* source is the home address, lifetime not 0 */
	e.hoa = in6addr_any;
	e.m.o.alt_coa = A("2001:db8:b::2");
	dropped(&e, HA_C_bu_no_hao);
	e = update(TWO, "2001:db8:b::2", 11);
	e.m.type = MH_BA;
	dropped(&e, HA_C_mh_unexpected);
}

/* --- de-registration and expiry --- */

static void a_late_update_after_a_deregistration_gets_135_for_ten_seconds(void **state)
{ /* RFC 6275 s10.3.2 */
	struct mh_env late = update(TWO, "2001:db8:a::2", 11), e = update(TWO, "2001:db8:b::2", 12);
	struct tunnel t;

	(void)state;
	bind_two(10);
	e.m.bu.lifetime_s = 0;
	add_mnp(&e, "2001:db8:100:3::/64"); /* of no interest: RFC 3963 s6.7 */
	e.m.o.mnp_bad = true;
	assert_int_equal(answered(&e, 0)->m.ba.lifetime_s, 0);
	assert_memory_equal(&only(HA_DO_TUNNEL_DROP)->tunnel.id, &routers[TWO].hoa, 16);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_CLOSED);
	assert_false(bound_tunnel(TWO, &t));
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(ha_deadline(ha), now + 10000);

	now += 5000;
	assert_int_equal(rejected(&late, 135)->m.ba.seq, 12);
	rejected(&e, 135); /* the same de-registration again */
	e.m.bu.seq = 13;
	answered(&e, 0); /* a newer one: the first answer was lost */
	assert_int_equal(count(HA_DO_TUNNEL_DROP), 0);

	now += 5000;
	tick();
	assert_int_equal(ha_deadline(ha), UINT64_MAX);
	assert_int_equal(out.n, 0);
	e.m.bu.seq = 14;
	rejected(&e, 133);
	answered(&late, 0); /* nothing is remembered */
}

static void a_closed_binding_can_be_made_anew(void **state) /* RFC 6275 s10.3.2 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 11);

	(void)state;
	bind_two(10);
	e.m.bu.lifetime_s = 0;
	answered(&e, 0);
	e = update(TWO, "2001:db8:b::2", 12);
	e.m.bu.flags = MH_BU_A | MH_BU_H; /* and as something else */
	answered(&e, 0);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_ACCEPTED);
	assert_int_equal(ha_deadline(ha), now + 200000);
	now += 10000;
	tick();
	assert_int_equal(ha_n_bound(ha), 1);
}

static void the_home_address_as_care_of_address_deregisters(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:100::1", 11);
	const struct mh_env *ba;

	(void)state;
	bind_two(10);
	e.hoa = in6addr_any; /* at home: no Home Address option, so no routing header (s9.5.4) */
	ba = answered(&e, 0);
	assert_memory_equal(&ba->hoa, &in6addr_any, 16);
	assert_memory_equal(&ba->dst, &routers[TWO].hoa, 16);
	assert_int_equal(ba->m.ba.lifetime_s, 0);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void a_binding_ends_exactly_with_its_lifetime(void **state) /* RFC 6275 s9.6 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 9);

	(void)state;
	bind_two(10);
	now += 199999;
	tick();
	assert_int_equal(out.n, 0);
	assert_int_equal(ha_n_bound(ha), 1);
	now++;
	assert_int_equal(ha_deadline(ha), now);
	tick();
	assert_memory_equal(&only(HA_DO_TUNNEL_DROP)->tunnel.id, &routers[TWO].hoa, 16);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_EXPIRED);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(ha_counter(ha, HA_C_expired), 1);
	assert_int_equal(ha_deadline(ha), UINT64_MAX);
	answered(&e, 0); /* no binding: any number */
}

static void a_refresh_moves_the_end(void **state) /* RFC 6275 s9.6 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 11);

	(void)state;
	bind_two(10);
	now += 150000;
	e.m.bu.lifetime_s = 8; /* shorter is possible as well */
	answered(&e, 0);
	assert_int_equal(ha_deadline(ha), now + 8000);
}

static void ten_thousand_bindings_expire_in_one_moment(void **state) /* RFC 6275 s9.6 */
{
	enum { N = 10000 };
	struct ha_router *many = calloc(N, sizeof(*many));
	struct prefix6 *mnps = calloc(N, sizeof(*mnps));
	unsigned dropped_ones = 0, ticks = 0, expired = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		mnps[i] = P("2001:db8:100::/64");
		mnps[i].addr.s6_addr[6] = (uint8_t)((i + 256) >> 8);
		mnps[i].addr.s6_addr[7] = (uint8_t)i;
		many[i] = (struct ha_router){
			.n_prefixes = 1, .prefixes = &mnps[i], .mobile_router = true};
		many[i].hoa = A("2001:db8:100::");
		many[i].hoa.s6_addr[14] = (uint8_t)((i + 256) >> 8);
		many[i].hoa.s6_addr[15] = (uint8_t)i;
	}
	conf.routers = many;
	conf.n_routers = N;
	ha_free(ha);
	ha = ha_new(&conf);
	for (unsigned i = 0; i < N; i++) {
		struct mh_env e = update(TWO, "2001:db8:a::2", 1);

		e.hoa = many[i].hoa;
		answered(&e, 0);
	}
	assert_int_equal(ha_n_bound(ha), N);
	now += 200000;
	while (ha_deadline(ha) <= now && ++ticks <= N) { /* what does not fit stays due */
		tick();
		dropped_ones += count(HA_DO_TUNNEL_DROP);
		for (unsigned i = 0; i < out.n; i++)
			expired += out.v[i].type == HA_DO_NOTE &&
				   out.v[i].note.type == NOTE_BINDING_EXPIRED;
	}
	assert_int_equal(dropped_ones, N);
	assert_int_equal(expired, N);
	assert_int_equal(ha_n_bound(ha), 0);
	ha_free(ha);
	ha = NULL;
	free(many);
	free(mnps);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_registration_is_acknowledged_after_the_tunnel_is_put),
		TEST(an_update_without_the_a_flag_is_answered_too),
		TEST(the_alternate_care_of_address_is_bound_but_not_answered),
		TEST(an_answer_comes_from_the_address_that_was_asked),
		TEST(the_shortest_lifetime_is_granted_in_units_of_four_seconds),
		TEST(a_mobile_host_registers_its_home_address_alone),
		TEST(a_router_bound_as_host_forwards_no_prefix),
		TEST(a_home_address_out_of_the_mobile_prefix_is_served),
		TEST(a_refresh_withdraws_and_adds_prefixes),
		TEST(prefixes_are_all_or_nothing),
		TEST(a_care_of_address_behind_the_home_agent_gets_174),
		TEST(a_router_behind_a_router_is_served),
		TEST(a_ring_of_routers_behind_each_other_is_refused),
		TEST(strangers_and_missing_rights_are_told_so),
		TEST(router_operation_not_permitted_is_answered_without_r),
		TEST(h_and_r_of_a_live_binding_do_not_change),
		TEST(flags_that_nobody_knows_are_ignored),
		TEST(a_tunnel_that_fails_gets_130),
		TEST(the_answer_to_a_failed_tunnel_does_not_wait_for_its_repair),
		TEST(sequence_numbers_are_compared_modulo_65536),
		TEST(a_number_is_used_up_even_if_the_update_is_rejected),
		TEST(addresses_that_nobody_can_have_are_dropped),
		TEST(updates_for_another_role_are_dropped),
		TEST(a_late_update_after_a_deregistration_gets_135_for_ten_seconds),
		TEST(a_closed_binding_can_be_made_anew),
		TEST(the_home_address_as_care_of_address_deregisters),
		TEST(a_binding_ends_exactly_with_its_lifetime),
		TEST(a_refresh_moves_the_end),
		TEST(ten_thousand_bindings_expire_in_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
