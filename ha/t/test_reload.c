/* test_reload.c - another configuration for a home agent that runs: who is not concerned notices
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "ha/keep.h"
#include "ha/t/updates.h"

static struct ha_conf next_conf;
static struct ha_router next[N_ROUTERS];
static struct prefix6 next_prefixes[N_ROUTERS][2];

/* A copy of the configuration, to be changed. */
static void edit(void)
{
	memcpy(next, routers, sizeof(next));
	memcpy(next_prefixes, prefixes, sizeof(next_prefixes));
	for (unsigned i = 0; i < N_ROUTERS; i++)
		next[i].prefixes = next_prefixes[i];
	next_conf = conf;
	next_conf.routers = next;
}

static struct { /* what all of it asked for */
	unsigned puts, drops, notes, sends, probe_ends;
	unsigned twice; /* asked for by one while it was another one's */
	struct tunnel put, held[N_ROUTERS];
	struct in6_addr dropped, forgotten;
} got;

/* As an engine does: a prefix is in one tunnel only. */
static void hold(const struct tunnel *t)
{
	for (unsigned i = 0; i < N_ROUTERS; i++) {
		const struct tunnel *other = &got.held[i];

		if (addr6_eq(&routers[i].hoa, &t->id)) {
			got.held[i] = *t;
			continue;
		}
		for (unsigned k = 0; k < other->n_routes; k++)
			for (unsigned m = 0; m < t->n_routes; m++)
				got.twice += prefix6_eq(&other->routes[k], &t->routes[m]);
	}
}

static void reload(void)
{
	struct ha *old = ha;
	struct in6_addr hoa;
	struct ha_kept written;
	unsigned i = 0;

	while (ha_next_changed(old, &hoa, &written)) /* as after each step */
		;
	memset(&got, 0, sizeof(got));
	for (unsigned k = 0; k < N_ROUTERS; k++)
		if (!bound_tunnel(k, &got.held[k]))
			got.held[k].n_routes = 0;
	ha = ha_new(&next_conf);
	assert_non_null(ha);
	ha_inherit(ha, old, &conf);
	while (ha_reload_next(ha, old, &i, now, &out)) {
		struct ha_kept k;

		while (ha_next_changed(old, &hoa, &k)) {
			assert_int_equal(k.state | k.flags, 0);
			got.forgotten = hoa;
		}
		for (unsigned a = 0; a < out.n; a++) {
			got.puts += out.v[a].type == HA_DO_TUNNEL_PUT;
			got.drops += out.v[a].type == HA_DO_TUNNEL_DROP;
			got.notes += out.v[a].type == HA_DO_NOTE;
			got.sends += out.v[a].type == HA_DO_SEND;
			got.probe_ends += out.v[a].type == HA_DO_HOME &&
					  out.v[a].home.op == HA_HOME_PROBE_END;
			if (out.v[a].type == HA_DO_TUNNEL_PUT) {
				got.put = out.v[a].tunnel;
				hold(&got.put);
			}
			if (out.v[a].type == HA_DO_TUNNEL_DROP)
				got.dropped = out.v[a].tunnel.id;
		}
	}
	ha_free(old);
}

static void bind_all(void)
{
	struct mh_env e;

	bind_two(7);
	e = update(ONE, "2001:db8:a::3", 9);
	answered(&e, 0);
	e = update(FAR, "2001:db8:a::4", 11);
	answered(&e, 0);
}

static void the_same_again_changes_nothing(void **state)
{
	char *before, *after;
	uint64_t deadline, accepted;

	(void)state;
	bind_all();
	now += 5000;
	before = bindings();
	deadline = ha_deadline(ha);
	accepted = ha_counter(ha, HA_C_bu_accepted);
	edit();
	reload();
	after = bindings();
	assert_string_equal(before, after);
	assert_int_equal(ha_deadline(ha), deadline);
	assert_int_equal(ha_n_bound(ha), 3);
	assert_int_equal(ha_counter(ha, HA_C_bu_accepted), accepted);
	assert_int_equal(got.puts + got.drops + got.notes + got.sends, 0);
	struct mh_env e = update(ONE, "2001:db8:b::3", 9);

	answered(&e, MH_ST_SEQ_WINDOW);
	e = update(ONE, "2001:db8:b::3", 10);
	answered(&e, 0);
	now = deadline;
	tick();
	assert_int_equal(
		count(HA_DO_TUNNEL_DROP), 2); /* the others' lifetimes are what they were */
	free(before);
	free(after);
}

static void who_is_gone_loses_its_binding_the_others_do_not(void **state)
{
	struct in6_addr one = routers[ONE].hoa;
	struct mh_env e;

	(void)state;
	bind_all();
	edit();
	next[ONE] = next[FAR]; /* it is taken out, the last one stands in its place */
	next_conf.n_routers = FAR;
	reload();
	assert_int_equal(got.drops, 1);
	assert_int_equal(got.notes, 1);
	assert_int_equal(got.puts + got.sends, 0);
	assert_true(addr6_eq(&got.dropped, &one));
	assert_true(addr6_eq(&got.forgotten, &one));
	assert_int_equal(ha_n_bound(ha), 2);
	e = update(ONE, "2001:db8:a::3", 10);
	answered(&e, MH_ST_PROHIBITED);
	e = update(FAR, "2001:db8:b::4", 12);
	answered(&e, 0);
}

static void one_that_is_new_may_register(void **state)
{
	struct mh_env e = update(FAR, "2001:db8:a::4", 1);

	(void)state;
	conf.n_routers = FAR;
	ha_free(ha);
	ha = ha_new(&conf);
	bind_two(7);
	receive(&e);
	assert_int_equal(ha_n_bound(ha), 1);
	edit();
	next_conf.n_routers = N_ROUTERS;
	reload();
	assert_int_equal(got.puts + got.drops + got.notes, 0);
	answered(&e, 0);
	assert_int_equal(ha_n_bound(ha), 2);
}

static void prefixes_come_and_go_with_the_tunnel(void **state)
{
	(void)state;
	bind_all(); /* all of them implicit */
	edit();
	next_prefixes[ONE][1] = P("2001:db8:100:4::/64");
	next[ONE].n_prefixes = 2;
	reload();
	assert_int_equal(got.puts, 1);
	assert_int_equal(got.drops + got.notes, 0);
	assert_int_equal(got.put.n_routes, 3);
	memcpy(prefixes, next_prefixes, sizeof(prefixes));
	memcpy(routers, next, sizeof(routers));
	for (unsigned i = 0; i < N_ROUTERS; i++)
		routers[i].prefixes = prefixes[i];
	ha->conf = &conf;
	edit();
	next[ONE].mobile_router = false;
	reload();
	assert_int_equal(got.drops, 1);
	assert_int_equal(got.notes, 1);
	assert_int_equal(ha_n_bound(ha), 2);
}

static void a_tunnel_that_fails_ends_that_binding(void **state)
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -12};

	(void)state;
	bind_two(7);
	edit();
	next_prefixes[TWO][1] = P("2001:db8:100:9::/64");
	reload();
	assert_int_equal(got.puts, 2); /* what it loses goes first */
	assert_int_equal(got.put.n_routes, 3);
	ha_step(ha, &failed, now, &out);
	assert_int_equal(ha_n_bound(ha), 0);
}

/* Whatever their order: nobody asks for a prefix that another one's tunnel still has. */
static void a_prefix_moves_from_one_to_another(void **state)
{
	(void)state;
	bind_all();
	edit();
	next_prefixes[TWO][0] = P("2001:db8:100:3::/64"); /* they change places */
	next_prefixes[ONE][0] = P("2001:db8:100:1::/64");
	reload();
	assert_int_equal(got.puts, 4);
	assert_int_equal(got.twice, 0);
	assert_int_equal(got.drops + got.notes + got.sends, 0);
	assert_int_equal(got.held[TWO].n_routes, 3);
	assert_int_equal(got.held[ONE].n_routes, 2);
	assert_int_equal(ha_n_bound(ha), 3);
}

static void a_detection_ends_with_its_router(void **state)
{
	struct mh_env e = update(ONE, "2001:db8:a::3", 9);

	(void)state;
	conf.home_link = true;
	conf.dad_ms = 1000;
	ha_free(ha);
	ha = ha_new(&conf);
	receive(&e);
	assert_int_equal(only(HA_DO_HOME)->home.op, HA_HOME_PROBE);
	edit();
	next[ONE] = next[FAR];
	next_conf.n_routers = FAR;
	reload();
	assert_int_equal(got.probe_ends, 1);
	assert_int_equal(ha_deadline(ha), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_again_changes_nothing),
		TEST(who_is_gone_loses_its_binding_the_others_do_not),
		TEST(one_that_is_new_may_register),
		TEST(prefixes_come_and_go_with_the_tunnel),
		TEST(a_tunnel_that_fails_ends_that_binding),
		TEST(a_prefix_moves_from_one_to_another),
		TEST(a_detection_ends_with_its_router),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
