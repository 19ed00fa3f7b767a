/* test_control.c - what the home agent says of its own accord: revocation (RFC 5846), Home Agent
 * Switch (RFC 5142). */
#include "ha/t/control.h"

/* --- revocation --- */

static void an_indication_goes_to_the_care_of_address_with_the_home_address(void **state)
{ /* RFC 5846 s7, s6.1.1 */
	const struct mh_env *e;

	(void)state;
	bind_router(1);
	operator(HA_EV_REVOKE, 1);
	assert_int_equal(n_sent(MH_BR), 1);
	e = sent(MH_BR, 0);
	assert_memory_equal(&e->src, &conf.address, 16);
	assert_addr(&e->dst, coa(1));
	assert_memory_equal(&e->hoa, &routers[1].hoa, 16);
	assert_true(e->rh2);
	assert_int_equal(e->m.br.type, MH_BRI);
	assert_int_equal(e->m.br.code, 1); /* administrative reason */
	assert_int_equal(e->m.br.flags, 0);
	assert_int_equal(ha_n_bound(ha), 1); /* it stays until the answer */
	assert_int_equal(dropped_tunnels(), 0);
	assert_int_equal(notes(NOTE_HA_BARRED), 1);
}

static void the_binding_ends_with_the_acknowledgement(void **state)
{ /* RFC 5846 s6.2.2; a failure is left to policy: the operator wanted it gone */
	static const uint8_t statuses[] = {0, 1, 128, 133, 134};

	for (unsigned i = 0; i < N_OF(statuses); i++) {
		teardown(state);
		setup(state);
		bind_router(0);
		operator(HA_EV_REVOKE, 0);
		run(20);
		answer_bri(0, statuses[i]);
		assert_int_equal(ha_n_bound(ha), 0);
		assert_int_equal(dropped_tunnels(), 1);
		assert_int_equal(notes(NOTE_BINDING_REVOKED), 1);
		run(60000);
		assert_int_equal(n_sent(MH_BR), 1); /* the timer is gone, too */
		assert_int_equal(ha_counter(ha, HA_C_revoked), 1);
		assert_int_equal(ha_deadline(ha), UINT64_MAX);
	}
}

static void an_unanswered_indication_is_repeated_once_and_then_the_binding_ends(void **state)
{ /* RFC 5846 s6.3: again after 1 s, clean-up after 2 s more, the same number */
	uint64_t t0 = now;

	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	run(2999);
	assert_int_equal(n_sent(MH_BR), 2);
	assert_int_equal(sent_at(MH_BR, 0), t0);
	assert_int_equal(sent_at(MH_BR, 1), t0 + 1000);
	assert_int_equal(sent(MH_BR, 0)->m.br.seq, sent(MH_BR, 1)->m.br.seq);
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(dropped_tunnels(), 1);
	run(60000);
	assert_int_equal(n_sent(MH_BR), 2);
}

static void retransmissions_are_as_configured(void **state) /* RFC 5846 s6.3, s11 */
{
	static const unsigned at[] = {0, 500, 1500, 3500, 6500, 9500};
	uint64_t t0 = now;

	(void)state;
	conf.revoke_ms = 500;
	conf.revoke_max_ms = 3000;
	conf.revoke_retries = N_OF(at) - 1;
	begin();
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	run(60000);
	assert_int_equal(n_sent(MH_BR), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++)
		assert_int_equal(sent_at(MH_BR, i) - t0, at[i]);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void outstanding_indications_have_different_numbers(void **state) /* RFC 5846 s5.1 */
{
	(void)state;
	for (unsigned i = 0; i < N_ROUTERS; i++)
		bind_router(i);
	for (unsigned i = 0; i < N_ROUTERS; i++)
		operator(HA_EV_REVOKE, i);
	assert_int_equal(n_sent(MH_BR), 3);
	assert_int_not_equal(sent(MH_BR, 0)->m.br.seq, sent(MH_BR, 1)->m.br.seq);
	assert_int_not_equal(sent(MH_BR, 0)->m.br.seq, sent(MH_BR, 2)->m.br.seq);
	assert_int_not_equal(sent(MH_BR, 1)->m.br.seq, sent(MH_BR, 2)->m.br.seq);
}

static void an_acknowledgement_from_elsewhere_or_of_nothing_changes_nothing(void **state)
{ /* RFC 5846 s6.2.2 */
	struct mh_env e;
	unsigned n = 0;

	(void)state;
	bind_router(0);
	bind_router(1);
	e = from(0, MH_BR);
	e.m.br = (struct mh_br){.type = MH_BRA};
	for (unsigned k = 0; k < 65536; k += 257) { /* none is outstanding */
		e.m.br.seq = (uint16_t)k;
		receive(&e);
		n++;
	}
	operator(HA_EV_REVOKE, 0);
	e.m.br.seq = sent(MH_BR, 0)->m.br.seq;
	e.m.br.seq++;
	receive(&e); /* another number */
	e.m.br.seq--;
	e.src = coa(1);
	receive(&e); /* another care-of address */
	e.src = coa(0);
	e.hoa = routers[1].hoa;
	receive(&e); /* another router */
	e.hoa = A("2001:db8:100::99");
	receive(&e); /* none of ours */
	e.hoa = routers[0].hoa;
	e.rh2 = true;
	receive(&e); /* its home address is not the sender's */
	e.rh2 = false;
	e.m.br.type = MH_BRI;
	receive(&e); /* nobody revokes at a home agent */
	e.m.br.type = 3;
	receive(&e);
	assert_int_equal(ha_n_bound(ha), 2);
	assert_int_equal(dropped_tunnels(), 0);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), n + 7);
	assert_int_equal(n_sent(MH_BR), 1);
}

static void a_barred_router_gets_129_until_it_is_allowed(void **state) /* RFC 5846 s7 */
{
	(void)state;
	operator(HA_EV_REVOKE, 0); /* not even bound */
	assert_int_equal(n_sent(MH_BR), 0);
	assert_int_equal(register_at(0, coa(0), 600), MH_ST_PROHIBITED);
	assert_int_equal(ha_n_bound(ha), 0);
	bind_router(1); /* the others go on */
	operator(HA_EV_ALLOW, 0);
	assert_int_equal(notes(NOTE_HA_ALLOWED), 1);
	assert_int_equal(register_at(0, coa(0), 600), 0);
	operator(HA_EV_REVOKE, 0);
	assert_int_equal(register_at(0, coa(0), 600), MH_ST_PROHIBITED);
	assert_int_equal(ha_n_bound(ha), 2); /* a rejected update changes nothing */
	run(3000);
	assert_int_equal(ha_n_bound(ha), 1);
}

static void a_barred_router_may_de_register(void **state)
{
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	assert_int_equal(register_at(0, coa(0), 0), 0);
	assert_int_equal(ha_n_bound(ha), 0);
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_BR), 0);
}

static void an_update_accepted_meanwhile_ends_the_revocation(void **state) /* RFC 5846 s7 */
{
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	operator(HA_EV_ALLOW, 0);
	assert_int_equal(register_at(0, coa(0), 600), 0);
	n_did = 0;
	run(60000);
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(n_sent(MH_BR), 0);
}

/* Binding Error 2: anybody can send it, so the indication is repeated all the same. */
static void a_router_that_does_not_know_revocation_loses_its_binding(void **state)
{ /* RFC 5846 s6.2 */
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	error_2(0, coa(1));
	error_2(0, coa(0));
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(dropped_tunnels(), 0);
	run(2999);
	assert_int_equal(n_sent(MH_BR), 2);
	error_2(0, coa(0));
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(dropped_tunnels(), 1);
}

static void revoking_twice_is_revoking_once(void **state)
{
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	operator(HA_EV_REVOKE, 0);
	assert_int_equal(n_sent(MH_BR), 1);
	assert_int_equal(notes(NOTE_HA_BARRED), 1);
}

/* --- home agent switch --- */

static void drain(unsigned n)
{
	struct ha_event ev = {.type = HA_EV_DRAIN, .has = {.n = n}};

	ev.has.ha[0] = A("2001:db8:2::1");
	ev.has.ha[1] = A("2001:db8:3::1");
	step(&ev);
}

static void a_switch_names_the_others_in_their_order(void **state) /* RFC 5142 s5.1 */
{
	const struct mh_env *e;

	(void)state;
	bind_router(0);
	drain(2);
	run(0);
	assert_int_equal(n_sent(MH_HAS), 1);
	e = sent(MH_HAS, 0);
	assert_memory_equal(&e->src, &conf.address, 16);
	assert_addr(&e->dst, coa(0));
	assert_memory_equal(&e->hoa, &routers[0].hoa, 16);
	assert_true(e->rh2);
	assert_int_equal(e->m.has.n, 2);
	assert_addr(&e->m.has.ha[0], A("2001:db8:2::1"));
	assert_addr(&e->m.has.ha[1], A("2001:db8:3::1"));
	assert_int_equal(notes(NOTE_HA_DRAINING), 1);
	assert_true(ha_draining(ha));
}

static void without_others_a_switch_has_no_address(void **state) /* RFC 5142 s5.1 */
{
	(void)state;
	bind_router(0);
	drain(0);
	run(0);
	assert_int_equal(sent(MH_HAS, 0)->m.has.n, 0);
}

/* Not those for hosts only, nor ourselves. */
static void unless_told_otherwise_it_names_those_of_the_list(void **state) /* RFC 5142 s5.1 */
{
	struct ha_agent_conf agents[] = {
		{.address = A("2001:db8:2::1"), .preference = 1, .mobile_routers = true},
		{.address = A("2001:db8:3::1"), .preference = 9, .mobile_routers = true},
		{.address = A("2001:db8:4::1"), .preference = 5},
	};

	(void)state;
	conf.n_agents = N_OF(agents);
	conf.agents = agents;
	begin();
	bind_router(0);
	drain(0);
	run(0);
	assert_int_equal(sent(MH_HAS, 0)->m.has.n, 2);
	assert_addr(&sent(MH_HAS, 0)->m.has.ha[0], A("2001:db8:3::1"));
	assert_addr(&sent(MH_HAS, 0)->m.has.ha[1], A("2001:db8:2::1"));
}

static void a_switch_is_repeated_after_5_10_and_then_every_20_seconds(void **state)
{ /* RFC 5142 s5.2, s8 */
	static const unsigned at[] = {0, 5000, 15000, 35000, 55000, 75000};
	uint64_t t0 = now;

	(void)state;
	bind_router(0);
	drain(1);
	run(80000);
	assert_int_equal(n_sent(MH_HAS), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++)
		assert_int_equal(sent_at(MH_HAS, i) - t0, at[i]);
	assert_int_equal(ha_n_bound(ha), 1); /* s5.3: served all the while */
}

static void no_more_switches_a_second_than_configured(void **state) /* RFC 5142 s7 */
{
	(void)state;
	for (unsigned i = 0; i < N_ROUTERS; i++)
		bind_router(i);
	drain(1);
	run(100000);
	assert_true(n_sent(MH_HAS) >= 15);
	for (unsigned i = 1; i < n_sent(MH_HAS); i++) /* repetitions included */
		assert_true(sent_at(MH_HAS, i) >= sent_at(MH_HAS, i - 1) + 1000);
	for (unsigned i = 0; i < N_ROUTERS; i++) /* everybody once before anybody twice */
		assert_memory_equal(&sent(MH_HAS, i)->hoa, &routers[i].hoa, 16);
}

static void a_de_registration_or_the_lifetimes_end_answers_a_switch(void **state)
{ /* RFC 5142 s5.2, s5.3 */
	(void)state;
	bind_router(0);
	assert_int_equal(register_at(1, coa(1), 20), 0);
	drain(1);
	run(1500);
	assert_int_equal(register_at(0, coa(0), 0), 0);
	n_did = 0;
	run(18500);
	assert_int_equal(ha_n_bound(ha), 0); /* router 1 kept its time */
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_HAS), 0);
}

static void while_draining_nothing_is_prolonged_and_nobody_new_taken(void **state)
{ /* RFC 5142 s5.3 */
	(void)state;
	bind_router(0);
	drain(1);
	run(100000);
	assert_int_equal(register_at(0, coa(0), 600), MH_ST_PROHIBITED);
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(register_at(1, coa(1), 600), MH_ST_PROHIBITED);
	assert_int_equal(register_at(0, coa(2), 600), 0); /* a move, for what is left */
	assert_int_equal(sent(MH_BA, 0)->m.ba.lifetime_s, 500);
	run(499999);
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void a_move_while_draining_never_shortens_what_was_promised(void **state)
{
	(void)state;
	bind_router(0);
	drain(1);
	run(1001); /* 598.999 s are left: 596 s can be said */
	assert_int_equal(register_at(0, coa(2), 600), 0);
	assert_int_equal(sent(MH_BA, 0)->m.ba.lifetime_s, 596);
	run(598998);
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void undrain_takes_everything_back(void **state)
{
	(void)state;
	bind_router(0);
	drain(1);
	run(2000);
	n_did = 0;
	operator(HA_EV_UNDRAIN, 0);
	assert_int_equal(notes(NOTE_HA_SERVING), 1);
	assert_false(ha_draining(ha));
	run(60000);
	assert_int_equal(n_sent(MH_HAS), 0);
	assert_int_equal(register_at(0, coa(0), 600), 0);
	assert_int_equal(register_at(1, coa(1), 600), 0);
}

static void the_last_one_to_leave_is_told_once(void **state)
{
	(void)state;
	bind_router(0);
	assert_int_equal(register_at(1, coa(1), 20), 0);
	drain(1);
	assert_int_equal(register_at(0, coa(0), 0), 0);
	assert_int_equal(notes(NOTE_HA_DRAINED), 0);
	n_did = 0;
	run(20000);
	assert_int_equal(notes(NOTE_HA_DRAINED), 1);
	run(60000);
	assert_int_equal(notes(NOTE_HA_DRAINED), 1);
	operator(HA_EV_UNDRAIN, 0);
	n_did = 0;
	drain(1); /* nobody is there */
	assert_int_equal(notes(NOTE_HA_DRAINED), 1);
}

/* And told on, for the error may be somebody else's. */
static void a_router_that_does_not_know_the_switch_is_served_on(void **state) /* RFC 5142 s5.3 */
{
	(void)state;
	bind_router(0);
	drain(1);
	run(0);
	error_2(0, coa(0));
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_HAS), 4); /* 5, 15, 35, 55 s */
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(dropped_tunnels(), 0);
}

int main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TC(f) cmocka_unit_test_setup_teardown(f, setup_conf, teardown)
	const struct CMUnitTest tests[] = {
		T(an_indication_goes_to_the_care_of_address_with_the_home_address),
		T(the_binding_ends_with_the_acknowledgement),
		T(an_unanswered_indication_is_repeated_once_and_then_the_binding_ends),
		TC(retransmissions_are_as_configured),
		T(outstanding_indications_have_different_numbers),
		T(an_acknowledgement_from_elsewhere_or_of_nothing_changes_nothing),
		T(a_barred_router_gets_129_until_it_is_allowed),
		T(a_barred_router_may_de_register),
		T(an_update_accepted_meanwhile_ends_the_revocation),
		T(a_router_that_does_not_know_revocation_loses_its_binding),
		T(revoking_twice_is_revoking_once),
		T(a_switch_names_the_others_in_their_order),
		T(without_others_a_switch_has_no_address),
		TC(unless_told_otherwise_it_names_those_of_the_list),
		T(a_switch_is_repeated_after_5_10_and_then_every_20_seconds),
		T(no_more_switches_a_second_than_configured),
		T(a_de_registration_or_the_lifetimes_end_answers_a_switch),
		T(while_draining_nothing_is_prolonged_and_nobody_new_taken),
		T(a_move_while_draining_never_shortens_what_was_promised),
		T(undrain_takes_everything_back),
		T(the_last_one_to_leave_is_told_once),
		T(a_router_that_does_not_know_the_switch_is_served_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
