/* test_sim.c - random runs of the simulator (sim.h).  The routers move, restart, sleep and are
 * hinted at at random; the home agents restart and sleep, their tunnels fail, and their operators
 * revoke, drain and take it back; some routers have to find the home agents first, and the home
 * prefix' lifetimes change.  After CHAOS_MS the network is perfect, and within SETTLE_MS
 * every router is bound where it is.  `test_sim SEED` runs one. */
#include "mr/t/sim.h"

#define N_RUNS   6000
#define CHAOS_MS 40000

static void move(unsigned i)
{
	struct sim_mr *m = &s.mrs[i];

	mr_move(i, (unsigned)rnd(N_LINKS));
	switch (rnd(4)) {
	case 0: /* nobody says so: the next advertisement does */ answer_nd(i, NDP_RA, NULL); break;
	case 1: /* carrier */
		mr_link(i, false, false);
		mr_link(i, true, false);
		break;
	case 2: /* told, but too early */
		m->link = (m->link + 1) % N_LINKS;
		mr_link(i, true, true);
		m->link = (m->link + N_LINKS - 1) % N_LINKS;
		break;
	default: mr_link(i, true, true); break;
	}
}

static void sleep_for_a_while(struct clock *c, const char *who, unsigned n)
{
	uint64_t ms = 1 + rnd(chance(50) ? 500 : 20000);
	bool stops = chance(50);

	if (c->sleep)
		return;
	event("%s%u: sleeps for %lu ms%s", who, n, ms, stops ? ", its clock too" : "");
	fall_asleep(c, ms, stops);
}

/* The home link's router says something else of the home prefix. */
static void renumber(unsigned h)
{
	struct ha_event ev = {.type = HA_EV_ND};
	struct ndp_msg *m = &ev.nd.msg;

	m->type = NDP_RA;
	m->src = A("fe80::1");
	m->ra.n_prefix = 1;
	m->ra.prefix[0] = (struct ndp_prefix){
		.prefix = s.home, .valid_s = 20000, .preferred_s = (uint32_t)rnd(60)};
	event("ha%u: home link: preferred lifetime %u s", h, m->ra.prefix[0].preferred_s);
	ha_event(h, &ev);
}

/* What makes routers ask: no home agent configured, prefix advertisements. */
static void discovery(void)
{
	for (unsigned h = 0; h < N_HAS; h++) {
		struct sim_ha *ha = &s.has[h];

		ha->conf.mpa = true;
		ha->conf.mpa_min_s = (unsigned)rnd(4);
		ha->conf.mpa_max_s = 1 + (unsigned)rnd(20);
		ha->agents[0] = (struct ha_agent_conf){
			ha_address(1 - h), (unsigned)rnd(2), true, 0};
		ha->conf.agents = ha->agents;
		ha->conf.n_agents = chance(80);
	}
	for (unsigned i = 0; i < N_MRS; i++)
		if (chance(30))
			s.mrs[i].conf.n_has = 0;
}

static void mischief(void)
{
	unsigned i = (unsigned)rnd(N_MRS), h = (unsigned)rnd(N_HAS);
	struct mr_event rehome = {.type = MR_EV_REHOME};

	switch (rnd(28)) {
	case 0: mr_boot(i, chance(30), chance(50)); break;
	case 1: ha_boot(h, chance(50)); break;
	case 2: mr_event(i, &rehome); break;
	case 3: mr_link(i, true, true); break;
	case 4: answer_nd(i, NDP_RA, NULL); break;
	case 5: operator(h, HA_EV_REVOKE, i); break;
	case 6: operator(h, HA_EV_ALLOW, i); break;
	case 7: operator(h, HA_EV_DRAIN, i); break;
	case 8: operator(h, HA_EV_UNDRAIN, i); break;
	case 9: sleep_for_a_while(&s.mrs[i].clock, "mr", i); break;
	case 10: sleep_for_a_while(&s.has[h].clock, "ha", h); break;
	case 11: renumber(h); break;
	default: move(i); break;
	}
}

static void one_run(uint64_t seed)
{
	sim_setup(seed);
	discovery();
	s.loss = (unsigned)rnd(61);
	s.remembers = 50;
	s.delay_ms = s.delay_chaos_ms = 1 + (unsigned)rnd(chance(50) ? 50 : 2000);
	s.duplicate = (unsigned)rnd(30);
	s.ends_chaos = s.now + CHAOS_MS;
	event("loss %u %%, delay %u ms, duplicates %u %%", s.loss, s.delay_ms, s.duplicate);
	sim_start();
	while (s.now < s.ends_chaos) {
		advance(s.now + 1 + rnd(chance(20) ? 10 : 4000));
		mischief();
	}
	sim_settle();
	sim_free();
}

static void routers_and_home_agent_agree_in_the_end_whatever_the_network_does(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= N_RUNS; seed++) {
		one_run(seed);
		if (seed % 500 == 0)
			print_message("%lu runs, %lu moves, %lu messages, %lu lost\n", seed,
				s.n_moves, s.n_packets, s.n_lost);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routers_and_home_agent_agree_in_the_end_whatever_the_network_does),
	};

	if (argc > 1) {
		one_run(strtoull(argv[1], NULL, 10));
		puts(s.log);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
