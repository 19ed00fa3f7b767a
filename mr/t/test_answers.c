/* test_answers.c - what each answer to a Binding Update leads to (RFC 6275 s11.4.1, s11.7.3; RFC
 * 3963 s5.3, s5.4). */
#include "mr/t/drive.h"

static void the_home_agents_number_is_taken_over(void **state) /* RFC 6275 s11.7.1, s11.7.3 */
{
	uint16_t far;

	(void)state;
	arrive_at_a();
	far = (uint16_t)(last_seq() + 1000);
	ack(0, 135, far, 0);
	assert_int_equal(count(MR_DO_SEND_MH), 2); /* at once */
	assert_int_equal(last_seq(), (uint16_t)(far + 1));
	ack(0, 135, 65535, 0);
	if (last_seq() != 0) /* 65535 looked older than ours: not an answer to it */
		assert_int_equal(last_seq(), (uint16_t)(far + 1));
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

static void an_old_135_does_not_make_numbers_be_used_twice(void **state) /* RFC 6275 s11.7.2 */
{
	uint16_t first;

	(void)state;
	arrive_at_a();
	first = last_seq();
	run(500);              /* first, first + 1, first + 2 are out */
	ack(0, 135, first, 0); /* the network sent 'first' twice */
	ack(0, 135, (uint16_t)(first + 1), 0);
	run(3000);
	for (unsigned i = 1; i < count(MR_DO_SEND_MH); i++)
		assert_int_equal(nth(MR_DO_SEND_MH, i)->a.mh.m.bu.seq, (uint16_t)(first + i));
}

static void a_type_change_is_cured_by_a_deregistration(void **state) /* RFC 3963 s5.2, s6.2 */
{
	(void)state;
	arrive_at_a();
	ack(0, 139, last_seq(), 0);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	assert_int_equal(last_bu()->m.o.n_mnp, 0);
	ack(0, 0, last_seq(), 0);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 600);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

static void an_accepting_home_agent_without_r_is_left_properly(void **state) /* RFC 3963 s5.3 */
{
	struct mr_event ev;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	ev = ack_event(0, 0, last_seq(), 600);
	ev.mh.m.ba.flags = 0;
	step(&ev);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0); /* before trying another: MUST */
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
	ack(0, 0, last_seq(), 0);
	run(62000);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 600);
}

/* Every status, one home agent: goes on later, or gives up until an operator acts. */
static void each_rejection_has_its_reaction(void **state) /* RFC 6275 s11.7.3, RFC 3963 s5.4 */
{
	static const struct {
		uint8_t status;
		bool refused;
	} v[] = {{128, false}, {129, false}, {130, false}, {131, false}, {132, false}, {133, false},
		{134, true}, {136, false}, {140, true}, {141, true}, {142, true}, {143, true},
		{174, false}, {200, false}, {255, false}};
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		drive_setup(NULL);
		arrive_at_a();
		ack(0, v[i].status, last_seq(), 600);
		forget();
		run(60000);
		assert_false(mr_bound(d.mr, d.now));
		assert_int_equal(mr_counter(d.mr, MR_C_ba_rejected), 1);
		if (!v[i].refused) {
			assert_true(count(MR_DO_SEND_MH) > 0);
			assert_in_range(nth(MR_DO_SEND_MH, 0)->at, 1001500, 1003000);
		} else {
			assert_int_equal(count(MR_DO_SEND_MH), 0);
			step(&rehome);
			assert_int_equal(count(MR_DO_SEND_MH), 1);
		}
		ack(0, 0, last_seq(), 600);
		assert_true(mr_bound(d.mr, d.now));
		drive_teardown(NULL);
	}
}

static void waits_double_with_each_rejection_and_success_resets_them(void **state)
{ /* RFC 6275 s11.7.3 */
	uint64_t wait = 0;

	(void)state;
	arrive_at_a();
	for (unsigned i = 0; i < 12; i++) {
		uint64_t t0 = d.now;

		ra(0, 1, 0xa1, LINK_A); /* or its lifetime would end */
		ack(0, 129, last_seq(), 0);
		forget();
		while (count(MR_DO_SEND_MH) == 0)
			run_until(mr_deadline(d.mr));
		assert_true(d.now - t0 >= wait || d.now - t0 >= 262000);
		assert_true(d.now - t0 <= 340000);
		wait = (d.now - t0) * 3 / 2;
	}
	ack(0, 0, last_seq(), 600);
	run(470000);
	ack(0, 129, last_seq(), 0);
	forget();
	run(1700);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	run(600);
	assert_true(count(MR_DO_SEND_MH) > 0);
}

static void refused_everywhere_it_stops_until_the_operator_acts(void **state)
{ /* RFC 3963 s5.4.2 */
	static const struct {
		uint8_t status;
		unsigned ha;
		bool implicit;
	} v[] = {{142, 0, false}, {141, 1, false}, {142, 2, false}, /* every home agent, then ... */
		{143, 0, true}, {143, 1, true}, {143, 2, true}};    /* ... the other mode */
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	d.conf.n_has = 3;
	d.conf.mode = MR_AUTO;
	drive_new();
	arrive_at_a();
	for (unsigned i = 0, ha = 0; i < N_OF(v); i++) {
		if (i == 3) /* the second round may begin anywhere, but has to meet all */
			ha = (unsigned)(last_bu()->dst.s6_addr[15] - 1);
		if (i < 3)
			assert_memory_equal(&last_bu()->dst, &d.has[v[i].ha], 16);
		else
			assert_memory_equal(&last_bu()->dst, &d.has[(ha + i) % 3], 16);
		assert_int_equal(last_bu()->m.o.n_mnp == 0, v[i].implicit);
		assert_int_equal(notes(NOTE_MR_REFUSED), 0);
		ack((unsigned)(last_bu()->dst.s6_addr[15] - 1), v[i].status, last_seq(), 0);
		run(10000);
	}
	assert_int_equal(notes(NOTE_MR_REFUSED), 1);
	forget();
	move_to_b();
	run(100000);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	step(&rehome);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_int_equal(last_bu()->m.o.n_mnp, 1);           /* from the first mode ... */
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16); /* ... and home agent on */
}

static void a_fatal_answer_ends_the_tunnel(void **state) /* RFC 3963 s5.4.2: assume no binding */
{
	static const uint8_t v[] = {134, 140, 141, 142, 143};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		for (d.conf.n_has = 1; d.conf.n_has <= 2; d.conf.n_has++) {
			unsigned n_has = d.conf.n_has;

			drive_conf();
			d.conf.n_has = n_has;
			drive_new();
			bind_at_a();
			move_to_b();
			ack(0, v[i], last_seq(), 0);
			assert_false(mr_bound(d.mr, d.now));
			assert_int_equal(last(MR_DO_TUNNEL_DROP)->at, d.now);
			drive_teardown(NULL);
		}
	}
	drive_conf();
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 0, last_seq(), 0);
	assert_int_equal(last(MR_DO_TUNNEL_DROP)->at, d.now);
}

static void a_rejected_refresh_leaves_the_binding_its_time(void **state) /* RFC 6275 s9.5.1 */
{
	uint64_t t0 = d.now;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	ack(0, 0, last_seq(), 80);
	forget();
	run(61000);
	ack(0, 129, last_seq(), 0);
	run(5000); /* the next home agent is asked, and says nothing */
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_true(mr_bound(d.mr, d.now));
	for (unsigned i = 0; i < d.n; i++) /* the binding is with the first one */
		if (d.did[i].a.type == MR_DO_TUNNEL_PUT)
			assert_memory_equal(&d.did[i].a.tunnel.remote, &d.has[0], 16);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	run_until(t0 + 80000);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	ack(1, 0, last_seq(), 600);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[1], 16);
}

static void a_bound_router_takes_its_tunnel_to_another_home_agent(void **state)
{ /* RFC 6275 s11.7.1 */
	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 129, last_seq(), 0);
	run(2000);
	ack(1, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[1], 16);
}

static void an_operator_cuts_the_waiting_short(void **state)
{
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	arrive_at_a();
	run(50000); /* updates are 32 s apart */
	forget();
	step(&rehome);
	na(0, 1, 0xa1);
	run(1500);
	assert_in_range(count(MR_DO_SEND_MH), 1, 3);
}

static void a_stop_goes_to_the_home_agent_that_holds_the_binding(void **state)
{ /* RFC 6275 s11.7.1 */
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 129, last_seq(), 0);
	run(2000); /* the second one is asked meanwhile */
	step(&stop);
	run(1000);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
}

static void a_silent_home_agent_is_followed_by_the_next(void **state) /* RFC 6275 s11.7.1 */
{
	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	run(120000);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
}

static void each_mode_has_its_own_fatal_answers(void **state) /* RFC 3963 s5.4.1, s5.4.2 */
{
	static const struct {
		int mode;
		uint8_t status;
	} v[] = {{MR_EXPLICIT, 143}, {MR_IMPLICIT, 141}, {MR_IMPLICIT, 142}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		drive_conf();
		d.conf.n_has = 2;
		d.conf.mode = v[i].mode;
		drive_new();
		arrive_at_a();
		ack(0, v[i].status, last_seq(), 0); /* the other home agent is not asked */
		assert_int_equal(last(MR_DO_NOTE)->a.note.type, NOTE_MR_REFUSED);
		forget();
		run(300000);
		assert_int_equal(count(MR_DO_SEND_MH), 0);
		drive_teardown(NULL);
	}
	drive_conf();
	d.conf.n_has = 2;
	d.conf.mode = MR_AUTO;
	drive_new();
	arrive_at_a();
	ack(0, 143, last_seq(), 0); /* no more in explicit mode, so in the other one */
	run(2000);
	assert_int_equal(last_bu()->m.o.n_mnp, 0);
	ack(asked(), 142, last_seq(), 0);
	assert_int_equal(last(MR_DO_NOTE)->a.note.type, NOTE_MR_REFUSED);
}

/* RFC 3963 s5.4: one says never, another something milder, or nothing: that is no success. */
static void a_milder_answer_of_another_home_agent_is_no_reason_to_go_on(void **state)
{
	static const struct {
		int mode;
		uint8_t first, second; /* 0: silence */
	} v[] = {{MR_EXPLICIT, 140, 129}, {MR_EXPLICIT, 129, 140}, {MR_IMPLICIT, 140, 129},
		{MR_IMPLICIT, 130, 140}, {MR_EXPLICIT, 142, 133}, {MR_EXPLICIT, 131, 141},
		{MR_IMPLICIT, 143, 129}, {MR_EXPLICIT, 140, 0}, {MR_IMPLICIT, 143, 0},
		{MR_AUTO, 140, 129}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		drive_conf();
		d.conf.n_has = 2;
		d.conf.mode = v[i].mode;
		drive_new();
		arrive_at_a();
		ack(0, v[i].first, last_seq(), 0);
		run(2000);
		assert_int_equal(asked(), 1);
		assert_int_equal(notes(NOTE_MR_REFUSED), 0);
		if (v[i].second)
			ack(1, v[i].second, last_seq(), 0);
		else
			run(60000);
		assert_int_equal(notes(NOTE_MR_REFUSED), 1); /* and it is logged: s5.4.1, s5.4.2 */
		forget();
		run(600000);
		assert_int_equal(count(MR_DO_SEND_MH), 0);
		drive_teardown(NULL);
	}
}

static void milder_answers_of_all_home_agents_are_tried_again_ever_later(void **state)
{ /* RFC 6275 s11.7.3 */
	uint64_t pause = 0;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	for (unsigned i = 0; i < 6; i++) {
		unsigned first = asked();
		uint64_t t0;

		ra(0, 1, 0xa1, LINK_A);
		ack(first, 129, last_seq(), 0);
		run(1500);
		assert_int_equal(asked(), 1 - first);
		ack(asked(), 130, last_seq(), 0);
		t0 = d.now;
		forget();
		while (count(MR_DO_SEND_MH) == 0)
			run_until(mr_deadline(d.mr));
		assert_true(d.now - t0 >= pause * 3 / 2);
		pause = d.now - t0;
	}
	assert_int_equal(notes(NOTE_MR_REFUSED), 0);
}

static void refused_prefixes_are_no_longer_advertised(void **state) /* RFC 3963 s5.4.2 */
{
	static const struct {
		int mode;
		uint8_t status;
		bool withdrawn;
	} v[] = {{MR_EXPLICIT, 141, true}, {MR_EXPLICIT, 142, true}, {MR_IMPLICIT, 142, false},
		{MR_EXPLICIT, 140, false}, {MR_EXPLICIT, 143, false}};
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		drive_conf();
		d.conf.mode = v[i].mode;
		drive_new();
		arrive_at_a();
		ack(0, v[i].status, last_seq(), 0);
		assert_int_equal(count(MR_DO_PREFIXES), v[i].withdrawn);
		if (v[i].withdrawn)
			assert_true(last(MR_DO_PREFIXES)->a.withdraw);
		forget();
		step(&rehome);
		ack(0, 0, last_seq(), 600); /* corrected */
		assert_int_equal(count(MR_DO_PREFIXES), v[i].withdrawn);
		if (v[i].withdrawn)
			assert_false(last(MR_DO_PREFIXES)->a.withdraw);
		drive_teardown(NULL);
	}
	drive_conf();
	d.conf.mode = MR_AUTO;
	drive_new();
	arrive_at_a();
	ack(0, 142, last_seq(), 0);
	run(2000);
	ack(0, 0, last_seq(), 600); /* the alternative: implicit mode */
	assert_int_equal(count(MR_DO_PREFIXES), 0);
}

static void who_holds_the_binding_is_asked_first(void **state) /* RFC 6275 s11.4.1 */
{
	(void)state;
	for (unsigned waited = 100; waited < 5000; waited += 2000) {
		drive_conf();
		d.conf.n_has = 2;
		drive_new();
		bind_at_a();
		move_to_b();
		ack(0, 129, last_seq(), 0);
		run(waited); /* before the second one is asked, and after */
		forget();
		move_to_a();
		run(1100);
		assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.dst.s6_addr[15], 1);
		ack(0, 129, last_seq(), 0);
		run(1600);
		assert_int_equal(asked(), 1); /* SHOULD: then another */
		drive_teardown(NULL);
	}
}

static void a_move_does_not_cut_a_home_agents_time_short(void **state) /* RFC 6275 s11.4.1 */
{
	static const unsigned wait_ms[] = {1500, 700, 4000};

	(void)state;
	for (unsigned i = 0; i < N_OF(wait_ms); i++) {
		uint64_t t0;

		drive_conf();
		d.conf.n_has = 2;
		d.conf.next_ha_ms = wait_ms[i]; /* InitialBindackTimeoutFirstReg, s13 */
		drive_new();
		arrive_at_a();
		t0 = d.now;
		ack(0, 129, last_seq(), 0);
		run(200);
		forget();
		move_to_b();
		run(wait_ms[i] - 201);
		assert_int_equal(count(MR_DO_SEND_MH), 0);
		run(1);
		assert_int_equal(nth(MR_DO_SEND_MH, 0)->at, t0 + wait_ms[i]);
		assert_int_equal(asked(), 1);
		assert_true(prefix6_has(&(struct prefix6){A("2001:db8:b::"), 64}, &last_bu()->src));
		drive_teardown(NULL);
	}
}

static void what_another_home_agent_says_does_not_end_the_tunnel(void **state)
{ /* RFC 3963 s5.4.2: that one holds no binding */
	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 129, last_seq(), 0);
	run(2000);
	ack(1, 140, last_seq(), 0);
	assert_int_equal(notes(NOTE_MR_REFUSED), 1);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	run(600000); /* but nothing is asked for any more */
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	assert_int_equal(notes(NOTE_MR_EXPIRED), 1);
}

static void misplaced_authorization_data_makes_an_answer_void(void **state) /* RFC 6275 s11.7.3 */
{
	struct mr_event ev;

	(void)state;
	arrive_at_a();
	ev = ack_event(0, 0, last_seq(), 600);
	ev.mh.m.o.auth_misplaced = true;
	forget();
	step(&ev);
	assert_int_equal(d.n, 0);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(mr_counter(d.mr, MR_C_ba_auth_place), 1);
	ev.mh.m.o.auth_misplaced = false;
	step(&ev);
	assert_true(mr_bound(d.mr, d.now));
}

/* Each answer: what happened, and what is tried when. */
static void every_answer_is_told_with_what_comes_next(void **state)
{
	static const struct {
		uint8_t status;
		enum note_type type;
		const char *what, *next;
	} v[] = {{129, NOTE_MR_RETRY, "administratively prohibited", "next try in"},
		{130, NOTE_MR_RETRY, "insufficient resources", "next try in"},
		{131, NOTE_MR_RETRY, "home registration not supported", "next try in"},
		{132, NOTE_MR_RETRY, "not home subnet", "next try in"},
		{133, NOTE_MR_RETRY, "not home agent", "next try in"},
		{134, NOTE_MR_REFUSED, "duplicate address", "nemoctl mr rehome"},
		{135, NOTE_MR_RETRY, "sequence number", "next try in 0.0 s"},
		{139, NOTE_MR_RETRY, "type change", "de-registering first"},
		{140, NOTE_MR_REFUSED, "not permitted", "nemoctl mr rehome"},
		{141, NOTE_MR_REFUSED, "invalid prefix", "nemoctl mr rehome"},
		{142, NOTE_MR_REFUSED, "not authorized", "nemoctl mr rehome"},
		{143, NOTE_MR_REFUSED, "forwarding setup", "nemoctl mr rehome"}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		drive_setup(NULL);
		arrive_at_a();
		forget();
		ack(0, v[i].status, (uint16_t)(d.mr->bul.seq + (v[i].status == 135)), 0);
		assert_true(says(v[i].type, v[i].what));
		assert_true(says(v[i].type, v[i].next));
		drive_teardown(NULL);
	}
}

static void a_shorter_grant_and_advice_are_told(void **state) /* RFC 6275 s6.2.4, s11.7.3 */
{
	struct mr_event ev;

	(void)state;
	arrive_at_a();
	ev = ack_event(0, 0, last_seq(), 200);
	ev.mh.m.o.refresh_s = 40;
	step(&ev);
	assert_true(says(NOTE_MR_REGISTERED, "for 200 s instead of 600 s"));
	assert_true(says(NOTE_MR_REGISTERED, "refreshed after 40 s"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVE_TEST(the_home_agents_number_is_taken_over),
		DRIVE_TEST(an_old_135_does_not_make_numbers_be_used_twice),
		DRIVE_TEST(a_type_change_is_cured_by_a_deregistration),
		DRIVE_TEST_CONF(an_accepting_home_agent_without_r_is_left_properly),
		DRIVE_TEST_CONF(each_rejection_has_its_reaction),
		DRIVE_TEST(waits_double_with_each_rejection_and_success_resets_them),
		DRIVE_TEST_CONF(refused_everywhere_it_stops_until_the_operator_acts),
		DRIVE_TEST_CONF(a_fatal_answer_ends_the_tunnel),
		DRIVE_TEST_CONF(a_rejected_refresh_leaves_the_binding_its_time),
		DRIVE_TEST_CONF(a_bound_router_takes_its_tunnel_to_another_home_agent),
		DRIVE_TEST(an_operator_cuts_the_waiting_short),
		DRIVE_TEST_CONF(a_stop_goes_to_the_home_agent_that_holds_the_binding),
		DRIVE_TEST_CONF(a_silent_home_agent_is_followed_by_the_next),
		DRIVE_TEST_CONF(each_mode_has_its_own_fatal_answers),
		DRIVE_TEST_CONF(a_milder_answer_of_another_home_agent_is_no_reason_to_go_on),
		DRIVE_TEST_CONF(milder_answers_of_all_home_agents_are_tried_again_ever_later),
		DRIVE_TEST_CONF(refused_prefixes_are_no_longer_advertised),
		DRIVE_TEST_CONF(who_holds_the_binding_is_asked_first),
		DRIVE_TEST_CONF(a_move_does_not_cut_a_home_agents_time_short),
		DRIVE_TEST_CONF(what_another_home_agent_says_does_not_end_the_tunnel),
		DRIVE_TEST(misplaced_authorization_data_makes_an_answer_void),
		DRIVE_TEST_CONF(every_answer_is_told_with_what_comes_next),
		DRIVE_TEST(a_shorter_grant_and_advice_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
