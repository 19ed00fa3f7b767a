/* test_heartbeat.c - heartbeats as a home agent answers and sends them (RFC 5847). */
#include "ha/t/control.h"

static struct mh_env heartbeat(unsigned i, bool response, bool unsolicited, uint32_t number)
{
	struct mh_env e = from(i, MH_HB);

	e.m.hb = (struct mh_hb){response, unsolicited, number};
	return e;
}

static void a_request_is_answered_with_its_number_and_the_restart_counter(void **state)
{ /* RFC 5847 s3, s3.2 */
	struct mh_env e = heartbeat(0, false, false, 0xfffffffe);

	(void)state;
	bind_router(0);
	receive(&e);
	assert_int_equal(n_did, 1);
	assert_int_equal(sent(MH_HB, 0)->m.hb.seq, 0xfffffffe);
	assert_true(sent(MH_HB, 0)->m.hb.response);
	assert_false(sent(MH_HB, 0)->m.hb.unsolicited);
	assert_true(sent(MH_HB, 0)->m.o.has_restart);
	assert_int_equal(sent(MH_HB, 0)->m.o.restart, 77);
	assert_memory_equal(&sent(MH_HB, 0)->src, &e.dst, 16);
	assert_memory_equal(&sent(MH_HB, 0)->dst, &e.src, 16);
	assert_memory_equal(&sent(MH_HB, 0)->hoa, &e.hoa, 16);
	assert_true(sent(MH_HB, 0)->rh2);
}

static void a_router_of_the_table_is_answered_unbound_a_stranger_never(void **state)
{ /* RFC 5847 s3: active binding or not */
	struct mh_env e = heartbeat(0, false, false, 1);

	(void)state;
	receive(&e);
	assert_int_equal(n_sent(MH_HB), 1);
	assert_int_equal(
		n_sent(MH_BE), 1); /* and told that it is not bound: it seems to think so */
	assert_int_equal(sent(MH_BE, 0)->m.be.status, 1);
	assert_memory_equal(&sent(MH_BE, 0)->m.be.hoa, &routers[0].hoa, 16);
	assert_memory_equal(&sent(MH_BE, 0)->dst, &e.src, 16);
	assert_true(addr6_is_any(&sent(MH_BE, 0)->hoa));
	e.hoa = A("2001:db8:100::99");
	receive(&e);
	e.hoa = in6addr_any;
	receive(&e);
	e.hoa = routers[0].hoa;
	e.src = A("ff02::1");
	receive(&e);
	e.src = in6addr_any;
	receive(&e);
	e.src = coa(0);
	e.rh2 = true;
	receive(&e);
	bind_router(0);
	e.rh2 = false;
	e.src = coa(1); /* bound elsewhere */
	receive(&e);
	assert_int_equal(n_sent(MH_HB) + n_sent(MH_BE), 0);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), 6);
}

static void a_flood_of_requests_is_answered_slowly(void **state)
{
	struct mh_env e = heartbeat(0, false, false, 1);

	(void)state;
	bind_router(0);
	for (unsigned i = 0; i < 200; i++) {
		receive(&e);
		run(10);
	}
	assert_in_range(n_sent(MH_HB), 10, 15);
	assert_int_equal(ha_counter(ha, HA_C_hb_limited), 200 - n_sent(MH_HB));
	assert_int_equal(n_sent(MH_BE), 0);
	e = heartbeat(1, false, false, 1); /* the others don't suffer */
	n_did = 0;
	receive(&e);
	assert_int_equal(n_sent(MH_HB), 1);
}

static void no_requests_unless_configured_or_bound(void **state) /* RFC 5847 s3 */
{
	(void)state;
	bind_router(0);
	run(100000);
	assert_int_equal(n_sent(MH_HB), 0);
	teardown(state);
	conf.heartbeat_s = 30;
	begin();
	run(100000);
	assert_int_equal(n_sent(MH_HB), 0);
}

static void respond(unsigned i, uint32_t counter)
{
	struct mh_env e = heartbeat(i, true, false, sent(MH_HB, n_sent(MH_HB) - 1)->m.hb.seq);

	e.m.o.has_restart = true;
	e.m.o.restart = counter;
	receive(&e);
}

static void requests_go_on_as_long_as_the_binding(void **state) /* RFC 5847 s3, s3.1 */
{
	uint64_t t0 = now;

	(void)state;
	conf.heartbeat_s = 30;
	begin();
	assert_int_equal(register_at(0, coa(0), 100), 0);
	run(0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(n_sent(MH_HB), i + 1);
		assert_int_equal(sent_at(MH_HB, i), t0 + 30000 * i);
		assert_int_equal(sent(MH_HB, i)->m.hb.seq, sent(MH_HB, 0)->m.hb.seq + i);
		assert_false(sent(MH_HB, i)->m.hb.response);
		assert_true(sent(MH_HB, i)->rh2);
		respond(0, 5);
		run(30000);
	}
	run(100000);
	assert_int_equal(n_sent(MH_HB), 4);
	assert_int_equal(ha_counter(ha, HA_C_hb_missed), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT) + notes(NOTE_PEER_RESTARTED), 0);
}

static void a_restart_is_noted_once_and_the_first_counter_is_none(void **state)
{ /* RFC 5847 s3.2 */
	(void)state;
	conf.heartbeat_s = 1;
	begin();
	bind_router(0);
	run(0);
	respond(0, 5);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
	run(1000);
	respond(0, 6);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
	run(1000);
	respond(0, 6);
	run(1000);
	respond(0, 2); /* it lost even that: different is enough */
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 2);
	assert_int_equal(ha_n_bound(ha), 1);
}

static void an_unsolicited_response_tells_of_a_restart(void **state) /* RFC 5847 s3.2 */
{
	struct mh_env e = heartbeat(0, true, true, 12345);

	(void)state;
	bind_router(0);
	e.m.o.has_restart = true;
	e.m.o.restart = 5;
	receive(&e);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
	e.m.o.restart = 6;
	receive(&e);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
	assert_int_equal(n_sent(MH_HB), 0); /* it is not answered */
	e.src = coa(1);
	e.m.o.restart = 7;
	receive(&e);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
}

static void the_fourth_missing_answer_makes_a_router_silent(void **state) /* RFC 5847 s3.1 */
{
	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(119999); /* 0, 30, 60, 90 s: three of them were missed by then */
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(ha_counter(ha, HA_C_hb_missed), 4);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	run(60000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1); /* once */
	assert_int_equal(ha_n_bound(ha), 1);
	respond(0, 5);
	assert_int_equal(notes(NOTE_PEER_ANSWERS), 1);
	run(119999 - 60000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1); /* counted from 0 again */
}

static void as_many_as_configured_may_be_missed(void **state) /* RFC 5847 s5 */
{
	(void)state;
	conf.heartbeat_s = 1;
	conf.heartbeat_misses = 0;
	begin();
	bind_router(0);
	run(999);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_late_or_repeated_answer_does_not_count(void **state) /* RFC 5847 s3 */
{
	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(30000); /* a second request is out: an answer to the first is late */
	struct mh_env e = heartbeat(0, true, false, sent(MH_HB, 0)->m.hb.seq);
	receive(&e);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), 1);
	respond(0, 1);
	respond(0, 2);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), 2);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
}

static void a_router_that_does_not_know_heartbeats_is_not_asked_again(void **state)
{ /* RFC 5847 s3: until it registers anew */
	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(0);
	error_2(0, coa(0));
	n_did = 0;
	run(300000);
	assert_int_equal(n_sent(MH_HB), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
}

/* RFC 6275 s9.3.3: a Binding Error comes without protection, so anybody can have sent it. */
static void an_error_in_the_name_of_one_who_knows_heartbeats_ends_none(void **state)
{
	struct mh_env e = heartbeat(1, false, false, 1);

	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	bind_router(1);
	run(0);
	respond(1, 5); /* the last one asked, who has answered */
	run(30000);
	error_2(1, coa(1));
	error_2(0, coa(0)); /* who has not */
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_HB), 2);
	assert_addr(&sent(MH_HB, 0)->dst, coa(1));
	run(60000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1); /* it counts against him as ever */
	error_2(1, coa(1));
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_HB), 0); /* a silent one may not know them after all */
	receive(&e);                        /* but one who asks does */
	n_did = 0;
	run(0);
	assert_int_equal(n_sent(MH_HB), 1);
	assert_addr(&sent(MH_HB, 0)->dst, coa(1));
}

static void none_after_a_reload_that_switches_them_off(void **state)
{
	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(0);
	assert_int_equal(n_sent(MH_HB), 1);
	conf.heartbeat_s = 0;
	run(300000);
	assert_int_equal(n_sent(MH_HB), 1);
	assert_int_equal(ha_counter(ha, HA_C_hb_missed), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	conf.heartbeat_s = 30;
	bind_router(0); /* and on again: from its next update on */
	run(0);
	assert_int_equal(n_sent(MH_HB), 1);
}

int main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TC(f) cmocka_unit_test_setup_teardown(f, setup_conf, teardown)
	const struct CMUnitTest tests[] = {
		T(a_request_is_answered_with_its_number_and_the_restart_counter),
		T(a_router_of_the_table_is_answered_unbound_a_stranger_never),
		T(a_flood_of_requests_is_answered_slowly),
		T(no_requests_unless_configured_or_bound),
		TC(requests_go_on_as_long_as_the_binding),
		TC(a_restart_is_noted_once_and_the_first_counter_is_none),
		T(an_unsolicited_response_tells_of_a_restart),
		TC(the_fourth_missing_answer_makes_a_router_silent),
		TC(as_many_as_configured_may_be_missed),
		TC(a_late_or_repeated_answer_does_not_count),
		TC(a_router_that_does_not_know_heartbeats_is_not_asked_again),
		TC(an_error_in_the_name_of_one_who_knows_heartbeats_ends_none),
		TC(none_after_a_reload_that_switches_them_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
