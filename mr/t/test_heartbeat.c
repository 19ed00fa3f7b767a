/* test_heartbeat.c - heartbeats as a mobile router sends and answers them (RFC 5847): what a
 * restart or silence of the home agent leads to. */
#include "mr/t/control.h"

static void no_heartbeats_unless_configured_or_bound(void **state) /* RFC 5847 s3 */
{
	(void)state;
	bind_at_a();
	run(300000);
	assert_int_equal(n_sent(MH_HB), 0);
	drive_teardown(state);
	setup_heartbeat(state);
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	run(60000);
	assert_int_equal(n_sent(MH_HB), 0);
}

static void the_home_agent_is_told_who_we_are_and_asked_at_once(void **state)
{ /* RFC 5847 s3.2: unsolicited after a restart; a request, to know its counter */
	(void)state;
	bind_here();
	assert_int_equal(n_sent(MH_HB), 2);
	assert_to(&sent(MH_HB, 0)->a.mh, 0);
	assert_true(sent(MH_HB, 0)->a.mh.m.hb.response && sent(MH_HB, 0)->a.mh.m.hb.unsolicited);
	assert_true(sent(MH_HB, 0)->a.mh.m.o.has_restart);
	assert_int_equal(sent(MH_HB, 0)->a.mh.m.o.restart, 77);
	assert_to(&sent(MH_HB, 1)->a.mh, 0);
	assert_false(sent(MH_HB, 1)->a.mh.m.hb.response);
	assert_false(sent(MH_HB, 1)->a.mh.m.o.has_restart);
}

static void requests_follow_at_the_interval_with_growing_numbers(void **state)
{ /* RFC 5847 s3 */
	uint64_t t0;
	uint32_t first;

	(void)state;
	bind_here();
	t0 = d.now;
	first = last_sent(MH_HB)->m.hb.seq;
	for (unsigned i = 1; i < 10; i++) {
		respond(5);
		run(30000);
		assert_int_equal(n_sent(MH_HB), 2 + i);
		assert_int_equal(sent(MH_HB, 1 + i)->at, t0 + 30000 * i);
		assert_int_equal(last_sent(MH_HB)->m.hb.seq, first + i);
	}
	assert_int_equal(mr_counter(d.mr, MR_C_hb_missed), 0);
	assert_int_equal(n_sent(MH_BU), 0);
}

static void another_restart_counter_leads_to_a_registration_at_once(void **state)
{ /* RFC 5847 s3.2; the binding is lost there */
	(void)state;
	bind_here();
	respond(5); /* the first one is none to compare with */
	assert_int_equal(n_sent(MH_BU), 0);
	run(30000);
	respond(6);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
	assert_int_equal(n_sent(MH_BU), 1);
	accept_at(0);
	run(30000);
	respond(6);
	assert_int_equal(n_sent(MH_BU), 1);
	run(30000);
	respond(4); /* smaller is another, too */
	assert_int_equal(n_sent(MH_BU), 2);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
}

static void an_unsolicited_counter_counts_now_and_then(void **state) /* RFC 5847 s3.2 */
{
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	for (unsigned i = 0; i < 100; i++) {
		ev = heartbeat(0, true, true, 4711); /* its number says nothing */
		ev.mh.m.o.has_restart = true;
		ev.mh.m.o.restart = 6 + i;
		step(&ev);
		if (d.mr->bul.state == BUL_REGISTERING)
			accept_at(0);
		run(100);
	}
	assert_in_range(notes(NOTE_PEER_RESTARTED), 1, 3); /* in 10 s */
	assert_int_equal(n_sent(MH_BU), notes(NOTE_PEER_RESTARTED));
	assert_int_equal(n_sent(MH_HB), 2); /* no answer to it */
}

static void an_answer_to_nothing_or_from_elsewhere_does_not_count(void **state)
{ /* RFC 5847 s3, s3.1 */
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	respond(6); /* once more */
	run(30000);
	ev = heartbeat(0, true, false, last_sent(MH_HB)->m.hb.seq - 1);
	ev.mh.m.o.has_restart = true;
	ev.mh.m.o.restart = 6;
	step(&ev); /* late */
	ev.mh.m.hb.seq++;
	ev.mh.src = d.has[1];
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_unmatched), 3);
	ev.mh.src = A("2001:db8:66::1");
	step(&ev);
	ev.mh.src = d.has[0];
	ev.mh.rh2 = false;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 2);
	assert_int_equal(n_sent(MH_BU), 0);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
}

static void the_fourth_missing_answer_leads_to_the_next_home_agent(void **state)
{ /* RFC 5847 s3.1, s5 */
	(void)state;
	bind_here();
	respond(5);
	run(149999); /* requests at 30, 60, 90, 120 s: the fourth is missed at 150 s */
	assert_int_equal(n_sent(MH_BU), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_missed), 4);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	assert_int_equal(n_sent(MH_BU), 1);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	accept_at(1);
	assert_int_equal(d.mr->bul.bound_ha, 1);
	forget();
	run(30000); /* the new one is asked */
	assert_int_equal(n_sent(MH_HB), 1);
	assert_to(last_sent(MH_HB), 1);
}

static void as_many_as_configured_may_be_missed(void **state) /* RFC 5847 s5 */
{
	(void)state;
	d.conf.heartbeat_misses = 0;
	mr_free(d.mr);
	drive_new();
	bind_here();
	respond(5);
	run(59999);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_home_agent_that_never_answered_one_is_not_called_silent(void **state)
{ /* it acknowledges updates, so it lives; that it knows heartbeats nobody has said */
	(void)state;
	bind_here();
	run(400000);
	assert_true(mr_counter(d.mr, MR_C_hb_missed) > 10);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	assert_int_equal(n_sent(MH_BU), 0);
	respond(5);
	run(150000); /* it does know them */
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_home_agent_silent_to_heartbeats_only_is_registered_with_once(void **state)
{
	(void)state;
	d.conf.n_has = 1;
	d.conf.heartbeat_s = 30;
	d.conf.heartbeat_misses = 3;
	drive_new();
	bind_here();
	respond(5);
	run(150000);
	assert_int_equal(n_sent(MH_BU), 1);
	accept_at(0);
	run(400000);
	assert_int_equal(n_sent(MH_BU), 1);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_home_agent_that_is_gone_is_left_in_the_midst_of_a_registration(void **state)
{
	(void)state;
	d.conf.heartbeat_s = 1;
	mr_free(d.mr);
	drive_new();
	bind_here();
	respond(5);
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(0);
	assert_int_equal(d.mr->bul.state, BUL_REGISTERING);
	run(5000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	accept_at(1);
	assert_int_equal(d.mr->bul.bound_ha, 1);
}

static void heartbeats_wait_for_an_uplink(void **state)
{
	(void)state;
	bind_here();
	respond(5);
	carrier(0, false);
	run(300000);
	assert_int_equal(n_sent(MH_HB), 2);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_missed), 0);
	ack(0, 0, d.mr->bul.seq, 600); /* late, or forged: there is no way out for a heartbeat */
	assert_int_equal(n_sent(MH_HB), 2);
	forget();
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	run(30000);
	assert_int_equal(n_sent(MH_HB), 1);
}

static void a_single_silent_home_agent_gets_a_new_registration(void **state)
{
	(void)state;
	d.conf.n_has = 1;
	d.conf.heartbeat_s = 30;
	d.conf.heartbeat_misses = 3;
	drive_new();
	bind_here();
	respond(5);
	run(150000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	assert_int_equal(n_sent(MH_BU), 1);
	run(10);
	accept_at(0);
	assert_int_equal(notes(NOTE_PEER_ANSWERS), 1);
	assert_true(mr_bound(d.mr, d.now));
}

static void an_answer_sets_the_missing_ones_to_zero(void **state) /* RFC 5847 s3.1 */
{
	(void)state;
	bind_here();
	respond(5);
	run(149999);
	respond(5); /* three were missed */
	run(100000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	assert_int_equal(n_sent(MH_BU), 0);
}

static void a_home_agents_request_is_answered_bound_or_not(void **state) /* RFC 5847 s3 */
{
	struct mr_event ev;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	ev = heartbeat(1, false, false, 0xabcdef01);
	step(&ev);
	assert_int_equal(n_sent(MH_HB), 1);
	assert_to(last_sent(MH_HB), 1);
	assert_int_equal(last_sent(MH_HB)->m.hb.seq, 0xabcdef01);
	assert_true(last_sent(MH_HB)->m.hb.response);
	assert_false(last_sent(MH_HB)->m.hb.unsolicited);
	assert_true(last_sent(MH_HB)->m.o.has_restart);
	assert_int_equal(last_sent(MH_HB)->m.o.restart, 77);
	ev.mh.src = A("2001:db8:66::1"); /* no home agent of ours */
	step(&ev);
	assert_int_equal(n_sent(MH_HB), 1);
	run(1000);
	forget();
	ev.mh.src = d.has[0];
	for (unsigned i = 0; i < 200; i++) {
		step(&ev);
		run(10);
	}
	assert_in_range(n_sent(MH_HB), 10, 15);
	assert_int_equal(mr_counter(d.mr, MR_C_control_limited), 200 - n_sent(MH_HB));
}

static void a_home_agent_that_does_not_know_heartbeats_is_spared(void **state) /* RFC 5847 s3 */
{
	struct mr_event ev;

	(void)state;
	bind_here();
	ev = message(0, MH_BE);
	ev.mh.hoa = in6addr_any;
	ev.mh.rh2 = false;
	ev.mh.m.be.status = 2;
	ev.mh.m.be.hoa = A("2001:db8:100::2");
	step(&ev); /* about another's home address */
	run(30000);
	assert_int_equal(n_sent(MH_HB), 3);
	ev.mh.m.be.hoa = d.conf.hoa;
	step(&ev);
	forget();
	run(400000);
	assert_int_equal(n_sent(MH_HB), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	assert_true(mr_bound(d.mr, d.now));
}

/* RFC 6275 s9.3.3: a Binding Error comes without protection, so anybody can have sent it. */
static void an_error_in_the_name_of_one_who_has_answered_is_not_believed(void **state)
{
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	run(30000);
	ev = message(0, MH_BE);
	ev.mh.hoa = in6addr_any;
	ev.mh.rh2 = false;
	ev.mh.m.be.status = 2;
	ev.mh.m.be.hoa = d.conf.hoa;
	step(&ev);
	forget();
	run(60000);
	assert_int_equal(n_sent(MH_HB), 2);
	run(60000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1); /* it counts against him as ever */
}

static void heartbeats_end_with_the_binding(void **state) /* RFC 5847 s3 */
{
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	ev = bri(0, 1, 1);
	step(&ev);
	forget();
	run(59000);
	assert_int_equal(n_sent(MH_HB), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
}

int main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, drive_teardown)
#define TC(f) cmocka_unit_test_setup_teardown(f, setup_conf, drive_teardown)
#define TH(f) cmocka_unit_test_setup_teardown(f, setup_heartbeat, drive_teardown)
	const struct CMUnitTest tests[] = {
		T(no_heartbeats_unless_configured_or_bound),
		TH(the_home_agent_is_told_who_we_are_and_asked_at_once),
		TH(requests_follow_at_the_interval_with_growing_numbers),
		TH(another_restart_counter_leads_to_a_registration_at_once),
		TH(an_unsolicited_counter_counts_now_and_then),
		TH(an_answer_to_nothing_or_from_elsewhere_does_not_count),
		TH(the_fourth_missing_answer_leads_to_the_next_home_agent),
		TH(as_many_as_configured_may_be_missed),
		TH(a_home_agent_that_never_answered_one_is_not_called_silent),
		TC(a_home_agent_silent_to_heartbeats_only_is_registered_with_once),
		TH(a_home_agent_that_is_gone_is_left_in_the_midst_of_a_registration),
		TH(heartbeats_wait_for_an_uplink),
		TC(a_single_silent_home_agent_gets_a_new_registration),
		TH(an_answer_sets_the_missing_ones_to_zero),
		TH(a_home_agents_request_is_answered_bound_or_not),
		TH(a_home_agent_that_does_not_know_heartbeats_is_spared),
		TH(an_error_in_the_name_of_one_who_has_answered_is_not_believed),
		TH(heartbeats_end_with_the_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
