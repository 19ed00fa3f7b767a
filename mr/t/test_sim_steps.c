/* test_sim_steps.c - one router's life with two home agents in the simulator (sim.h), and a mishap
 * at each of its steps, that is whenever a packet arrives or a timer ends: the packet is lost,
 * comes twice or late, a node restarts or sleeps, with or without its clock.  Whatever it is and
 * whenever it comes, the router is bound where it is in the end, without anybody's help.
 * `test_sim_steps HEARTBEAT STEP MISHAP` runs one. */
#include "mr/t/sim.h"

#define N_RUNS   6000 /* with three mishaps each */
#define HEAL_MS  130000
#define SLEEP_MS 5000

enum {
	LOSE,
	TWICE,
	LATE, /* other packets overtake it */
	MR_RESTARTS,
	MR_RESTARTS_KEEPING,
	MR_REBOOTS,
	HA0_RESTARTS,
	HA0_REBOOTS,
	HA1_RESTARTS,
	MR_STOPPED,
	MR_SUSPENDED,
	HA0_STOPPED,
	HA0_SUSPENDED,
	HA1_STOPPED,
	N_MISHAPS
};

static struct {
	unsigned step, at[3], what[3];
} plan;

static bool packet_mishap(unsigned n, unsigned what)
{
	struct flight *f = &s.flight[n];

	switch (what) {
	case LOSE: *f = s.flight[--s.n_flight]; return true;
	case TWICE:
		CHECK(s.n_flight < N_FLIGHT);
		s.flight[s.n_flight] = *f;
		s.flight[s.n_flight++].at += 5;
		return false;
	case LATE: f->at += 2500; return true;
	default: return false;
	}
}

static bool node_mishap(unsigned what)
{
	switch (what) {
	case MR_RESTARTS: mr_boot(0, false, false); break;
	case MR_RESTARTS_KEEPING: mr_boot(0, true, false); break;
	case MR_REBOOTS: mr_boot(0, false, true); break;
	case HA0_RESTARTS: ha_boot(0, false); break;
	case HA0_REBOOTS: ha_boot(0, true); break;
	case HA1_RESTARTS: ha_boot(1, false); break;
	case MR_STOPPED: fall_asleep(&s.mrs[0].clock, SLEEP_MS, true); break;
	case MR_SUSPENDED: fall_asleep(&s.mrs[0].clock, SLEEP_MS, false); break;
	case HA0_STOPPED: fall_asleep(&s.has[0].clock, SLEEP_MS, true); break;
	case HA0_SUSPENDED: fall_asleep(&s.has[0].clock, SLEEP_MS, false); break;
	case HA1_STOPPED: fall_asleep(&s.has[1].clock, SLEEP_MS, true); break;
	default: return false;
	}
	return true;
}

static bool meddle(unsigned n)
{
	unsigned step = plan.step++;
	bool changed = false;

	for (unsigned i = 0; i < N_OF(plan.at) && !changed; i++) {
		if (plan.at[i] != step)
			continue;
		event("mishap %u at step %u", plan.what[i], step);
		changed = n < N_FLIGHT ? packet_mishap(n, plan.what[i]) : false;
		changed |= node_mishap(plan.what[i]);
	}
	return changed;
}

/* Where the router is bound; -1: nowhere. */
static int bound_at(void)
{
	const struct sim_mr *m = &s.mrs[0];

	return mr_bound(m->mr, local(&m->clock)) ? (int)m->mr->bul.bound_ha : -1;
}

static void move(unsigned link)
{
	mr_move(0, link);
	mr_link(0, true, true);
}

/* Registers, moves, is sent to and fro for maintenance, is revoked and allowed again.  'calm':
 * there is no mishap, so it goes as it should. */
static void story(bool calm)
{
	struct mr_event rehome = {.type = MR_EV_REHOME};

	sim_start();
	advance(1000);
	CHECK(!calm || bound_at() == 0);
	move(1);
	advance(6000);
	CHECK(!calm || settled(0));
	operator(0, HA_EV_DRAIN, 0);
	advance(9000);
	CHECK(!calm || (bound_at() == 1 && settled(0)));
	move(2);
	advance(15000);
	operator(0, HA_EV_UNDRAIN, 0);
	operator(1, HA_EV_DRAIN, 0);
	advance(18000);
	CHECK(!calm || (bound_at() == 0 && settled(0)));
	operator(1, HA_EV_UNDRAIN, 0);
	operator(0, HA_EV_REVOKE, 0);
	operator(1, HA_EV_REVOKE, 0);
	advance(22000);
	CHECK(!calm || (bound_at() == -1 && !s.mrs[0].tunnel && !s.has[0].tunnel[0]));
	operator(0, HA_EV_ALLOW, 0);
	operator(1, HA_EV_ALLOW, 0);
	mr_event(0, &rehome);
	move(3);
	advance(26000);
	CHECK(!calm || (bound_at() == 0 && settled(0)));
}

static void prepare(unsigned heartbeat_s, uint64_t seed)
{
	struct mr_conf *mr = &s.mrs[0].conf;

	sim_setup(seed);
	s.n_mrs = 1;
	s.delay_ms = 1;
	s.delay_chaos_ms = 10000; /* LATE */
	s.ends_chaos = 0;
	s.mrs[0].link = 0;
	mr->n_has = N_HAS;
	mr->lifetime_s = 12;
	mr->check_ms = 1000;
	mr->heartbeat_s = heartbeat_s;
	mr->heartbeat_misses = 3;
	mr->mode = MR_EXPLICIT;
	for (unsigned h = 0; h < N_HAS; h++) {
		s.has[h].conf.max_lifetime_s = 12;
		s.has[h].conf.heartbeat_s = heartbeat_s;
		s.has[h].conf.heartbeat_misses = 3;
	}
	s.meddle = meddle;
}

static void one_run(unsigned heartbeat_s, uint64_t seed, bool calm)
{
	prepare(heartbeat_s, seed);
	plan.step = 0;
	story(calm);
	advance(s.now + N_OF(plan.at) * SLEEP_MS);
	for (unsigned h = 0; h < N_HAS; h++) { /* one that slept has not heard of it */
		operator(h, HA_EV_UNDRAIN, 0);
		operator(h, HA_EV_ALLOW, 0);
	}
	for (uint64_t end = s.now + HEAL_MS; s.now < end && !settled(0);)
		advance(s.now + 1000);
	CHECK(settled(0));
	sim_free();
}

static void plan_one(unsigned at, unsigned what)
{
	memset(&plan, 0xff, sizeof(plan)); /* never */
	plan.at[0] = at;
	plan.what[0] = what;
}

static unsigned n_steps(unsigned heartbeat_s)
{
	plan_one(UINT32_MAX, LOSE);
	one_run(heartbeat_s, 1, true);
	return plan.step;
}

static void a_life_without_a_mishap(void **state)
{
	(void)state;
	assert_true(n_steps(0) > 50);
	assert_true(n_steps(1) > n_steps(0));
}

static void every_mishap_at_every_step(void **state)
{
	unsigned n_runs = 0;

	(void)state;
	for (unsigned heartbeat_s = 0; heartbeat_s < 2; heartbeat_s++) {
		unsigned n = n_steps(heartbeat_s);

		for (unsigned at = 0; at < n; at++) {
			for (unsigned what = 0; what < N_MISHAPS; what++, n_runs++) {
				plan_one(at, what);
				one_run(heartbeat_s, 1, false);
			}
		}
	}
	print_message("%u runs\n", n_runs);
}

/* A restart at each step of a quiet life, a move in it.  Whenever it comes, the router is bound
 * again two seconds later, and a home agent that knew the router before has noticed; if the state
 * file is there nobody has, and a home agent is as it was. */
static bool restart_at(unsigned at, unsigned what, bool remembers)
{
	const struct ha_control *there;
	uint64_t when = 0;
	bool knew = false, was = false;

	prepare(1, 1);
	s.remembers = remembers ? 100 : 0;
	plan_one(UINT32_MAX, LOSE);
	plan.step = 0;
	sim_start();
	for (unsigned ms = 1; ms <= 8000 && !when; ms++) {
		if (ms == 2000)
			move(1);
		advance(ms);
		if (plan.step < at)
			continue;
		when = s.now;
		there = &s.has[0].ha->peers[0].c;
		knew = there->has_restart;
		was = settled(0);
		node_mishap(what);
		if (remembers && (what == HA0_RESTARTS || what == HA0_REBOOTS))
			CHECK(settled(0) || !was);
	}
	advance(when + 2100);
	CHECK(settled(0));
	if (remembers)
		CHECK(s.has[0].n_restarted == 0);
	else if (what == MR_RESTARTS || what == MR_REBOOTS)
		CHECK(s.has[0].n_restarted == 1 || !knew);
	sim_free();
	return when;
}

static void a_restart_is_noticed_and_mended_in_two_seconds(void **state)
{
	static const unsigned kinds[] = {HA0_RESTARTS, HA0_REBOOTS, MR_RESTARTS, MR_REBOOTS};
	unsigned at;

	(void)state;
	for (unsigned i = 0; i < N_OF(kinds); i++) {
		for (unsigned remembers = 0; remembers < 2; remembers++) {
			for (at = 1; restart_at(at, kinds[i], remembers); at++)
				;
			assert_true(at > 50);
		}
	}
}

static void three_mishaps_at_any_steps(void **state)
{
	unsigned n = n_steps(1);

	(void)state;
	for (uint64_t seed = 2; seed < 2 + N_RUNS; seed++) {
		s.rng = seed;
		for (unsigned i = 0; i < N_OF(plan.at); i++) {
			plan.at[i] = (unsigned)rnd(n);
			plan.what[i] = (unsigned)rnd(N_MISHAPS);
		}
		one_run(seed % 2, seed, false);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life_without_a_mishap),
		cmocka_unit_test(every_mishap_at_every_step),
		cmocka_unit_test(a_restart_is_noticed_and_mended_in_two_seconds),
		cmocka_unit_test(three_mishaps_at_any_steps),
	};

	if (argc > 3) {
		plan_one((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
		one_run((unsigned)atoi(argv[1]), 1, false);
		puts(s.log);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
