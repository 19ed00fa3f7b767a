/* test_errors.c - refresh requests, errors about updates and silence, which prove nothing: each
 * leads to an update at most, and a flood of them to no more than the permitted rate (RFC 6275
 * s11.3.5, s11.3.6, s11.7.4, s11.8). */
#include "common/core/seq16.h"
#include "mr/t/drive.h"

static struct mr_event unasked(uint8_t type)
{
	struct mr_event ev = ack_event(0, 0, 0, 0);

	memset(&ev.mh.m, 0, sizeof(ev.mh.m));
	ev.mh.m.type = type;
	ev.mh.m.be.status = 1;
	ev.mh.m.be.hoa = d.conf.hoa;
	ev.mh.hoa = in6addr_any;
	ev.mh.dst = type == MH_BE ? A("2001:db8:a::1") : d.conf.hoa;
	if (type == MH_BRR)
		memset(&ev.mh.m.be, 0, sizeof(ev.mh.m.be));
	return ev;
}

static void a_request_or_an_unknown_binding_leads_to_an_update(void **state)
{ /* RFC 6275 s11.7.4, s11.3.6 */
	struct mr_event ev = ack_event(0, 0, 0, 0);

	(void)state;
	bind_at_a();
	ev.mh.m.type = MH_BRR;
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	ack(0, 0, last_seq(), 600);
	run(2000);
	forget();
	ev.mh.m.type = MH_BE;
	ev.mh.m.be.status = 1;
	ev.mh.m.be.hoa = d.conf.hoa;
	ev.mh.hoa = in6addr_any; /* comes without a routing header (s9.3.3) */
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_true(mr_bound(d.mr, d.now)); /* not given up for an unauthenticated message */
	ack(0, 0, last_seq(), 600);
	forget();
	ev.mh.m.be.status = 2;
	step(&ev);
	ev.mh.m.be.status = 1;
	ev.mh.src = A("2001:db8:666::1");
	step(&ev);
	assert_int_equal(d.n, 0);
}

/* The home agent was away, and tells by this that it is there again. */
static void an_unknown_binding_ends_a_long_wait(void **state) /* RFC 6275 s11.3.6 */
{
	struct mr_event ev;
	uint16_t first;

	(void)state;
	arrive_at_a();
	first = last_seq();
	run(60000); /* the next update is up to 32 s away */
	forget();
	ev = unasked(MH_BE);
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	step(&ev); /* that was the answer to it */
	run(149);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	run(1); /* the waits begin anew */
	assert_int_equal(count(MR_DO_SEND_MH), 2);
	for (unsigned ms = 0; ms < 10000; ms += 10) { /* forged: one in a second */
		step(&ev);
		run(10);
	}
	assert_in_range(count(MR_DO_SEND_MH), 10, 24);
	assert_true(seq16_newer(last_seq(), first));
	ack(0, 0, (uint16_t)(last_seq() - 3), 600); /* what was sent before still counts */
	assert_true(mr_bound(d.mr, d.now));
}

static void a_request_comes_to_the_home_address(void **state) /* RFC 6275 s6.1, s11.7.4 */
{
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = unasked(MH_BRR); /* through the tunnel */
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_int_equal(notes(NOTE_MR_ASKED), 1);
	ack(0, 0, last_seq(), 600);
	run(2000);
	forget();
	ev.mh.dst = A("2001:db8:a::1"); /* to the care-of address: not about our home address */
	step(&ev);
	ev.mh.dst = d.conf.hoa;
	ev.mh.src = A("2001:db8:666::1"); /* of no home agent */
	step(&ev);
	assert_int_equal(d.n, 0);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 2);
}

static void an_error_about_another_home_address_is_not_ours(void **state) /* RFC 6275 s11.3.6 */
{
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = unasked(MH_BE);
	ev.mh.m.be.hoa = A("2001:db8:100::2");
	step(&ev);
	assert_int_equal(d.n, 0);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 1);
}

/* Neither proves anything, so a flood of them leaves room for the updates of a move. */
static void requests_and_errors_do_not_eat_up_the_update_rate(void **state) /* RFC 6275 s11.8 */
{
	static const uint8_t types[] = {MH_BRR, MH_BE};

	(void)state;
	for (unsigned k = 0; k < N_OF(types); k++) {
		drive_setup(NULL);
		bind_at_a();
		for (unsigned ms = 0; ms < 10000; ms += 10) {
			struct mr_event ev = unasked(types[k]);
			unsigned n = count(MR_DO_SEND_MH);

			step(&ev);
			if (count(MR_DO_SEND_MH) > n)
				ack(0, 0, last_seq(), 600);
			run(10);
		}
		assert_in_range(count(MR_DO_SEND_MH), 5, 11);
		forget();
		move_to_b();
		assert_int_equal(count(MR_DO_SEND_MH), 1); /* at once */
		drive_teardown(NULL);
	}
}

static void who_does_not_know_updates_is_left_alone_for_a_while(void **state)
{ /* RFC 6275 s11.3.6: Binding Error 2 while an answer is awaited */
	struct mr_event ev;
	uint16_t seq;

	(void)state;
	for (unsigned n_has = 1; n_has <= 2; n_has++) {
		drive_conf();
		d.conf.n_has = n_has;
		drive_new();
		arrive_at_a();
		seq = last_seq();
		ev = unasked(MH_BE);
		ev.mh.m.be.status = 2;
		forget();
		step(&ev);
		assert_true(says(NOTE_MR_RETRY, "Binding Updates unknown there"));
		step(&ev); /* once is enough */
		assert_int_equal(d.n, 1);
		forget();
		run(n_has == 1 ? 31999 : 1499);
		assert_int_equal(count(MR_DO_SEND_MH), 0);
		if (n_has == 1) { /* anybody can say so: a true answer counts all the same */
			ack(0, 0, seq, 600);
			assert_true(mr_bound(d.mr, d.now));
		} else {
			run(1);
			assert_int_equal(asked(), 1);
		}
		drive_teardown(NULL);
	}
	drive_setup(NULL);
	bind_at_a(); /* nothing is awaited: ignored */
	ev = unasked(MH_BE);
	ev.mh.m.be.status = 2;
	step(&ev);
	assert_int_equal(d.n, 0);
	assert_true(mr_bound(d.mr, d.now));
}

/* Who holds the binding knows updates; an error costs a router on the move no time. */
static void an_error_in_the_name_of_who_holds_the_binding_is_not_believed(void **state)
{
	struct mr_event ev;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	ev = unasked(MH_BE);
	ev.mh.m.be.status = 2;
	for (unsigned i = 0; i < 10; i++) {
		step(&ev);
		run(100);
	}
	assert_int_equal(count(MR_DO_SEND_MH), 3); /* after 150 and 450 ms, to the same */
	assert_int_equal(asked(), 0);
	assert_false(says(NOTE_MR_RETRY, "Binding Updates unknown there"));
}

static void silence_is_told_too(void **state) /* RFC 6275 s11.7.1 */
{
	(void)state;
	arrive_at_a();
	run(40000);
	assert_true(says(NOTE_MR_RETRY, "no answer"));
}

/* drive.h looks at every update: never a fourth within a second, never a deadline that stays. */
static void no_event_makes_more_than_three_updates_a_second(void **state) /* RFC 6275 s11.8 */
{
	struct mr_event ev, rehome = {.type = MR_EV_REHOME};

	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		drive_conf();
		d.conf.n_has = 1 + seed % 3;
		d.conf.mode = (int)(seed % 3);
		d.conf.retransmit_ms = seed % 2 ? 150 : 20;
		drive_new();
		srand(seed);
		arrive_at_a();
		for (unsigned i = 0; i < 2000; i++) {
			if (d.n > DID_MAX - MR_MAX_ACTIONS)
				forget();
			run((uint64_t)(rand() % (rand() % 20 ? 30 : 5000)));
			ev = ack_event((unsigned)rand() % d.conf.n_has, 0, (uint16_t)rand(), 40);
			switch (rand() % 12) {
			case 0: move_to_a(); break;
			case 1: move_to_b(); break;
			case 2: step(&rehome); break;
			case 3:
				ev.mh.m.type = MH_BRR;
				step(&ev);
				break;
			case 4:
				ev.mh.m.type = MH_BE;
				ev.mh.m.be.status = 1;
				ev.mh.m.be.hoa = d.conf.hoa;
				step(&ev);
				break;
			case 5: carrier(0, rand() % 2); break;
			case 6: ev.mh.m.ba.status = (uint8_t)rand(); /* fall through */
			case 7: ev.mh.m.ba.flags = 0;                /* fall through */
			case 8:
				ev.mh.m.ba.seq = d.mr->bul.seq;
				step(&ev);
				break;
			default:
				ev.mh.m.ba.status = 135;
				step(&ev);
				break;
			}
		}
		assert_in_range(d.n_bu, 10, 1000000);
		drive_teardown(NULL);
	}
}

/* --- ICMPv6 errors about updates --- */

/* About the last update. */
static struct mr_event icmp(uint8_t type, uint8_t code)
{
	const struct mh_env *bu = last_bu();
	struct mr_event ev = {.type = MR_EV_ERROR};

	memset(&ev.error, 0, sizeof(ev.error));
	ev.error.error.type = type;
	ev.error.error.code = code;
	ev.error.src = bu->src;
	ev.error.dst = bu->dst;
	ev.error.hoa = bu->hoa;
	ev.error.seq = bu->m.bu.seq;
	return ev;
}

enum effect { TOLD, NEXT, WAITS };

/* What each error leads to while the first registration waits for its answer, with one home agent
 * and with two (s11.3.5; s11.4.1 for the time that one has). */
static void each_icmp_error_has_its_effect(void **state)
{
	static const struct {
		uint8_t type, code;
		enum effect in[2];
		const char *says;
	} v[] = {
		{1, 0, {TOLD, NEXT}, "no route to it"},
		{1, 1, {TOLD, NEXT}, "prohibited"},
		{1, 3, {TOLD, NEXT}, "host unreachable"},
		{1, 4, {TOLD, NEXT}, "port unreachable"},
		{1, 77, {TOLD, NEXT}, "unreachable"},
		{2, 0, {TOLD, TOLD}, "too big"},
		{3, 0, {TOLD, NEXT}, "loop"},
		{4, 0, {TOLD, TOLD}, "malformed"},
		{4, 1, {WAITS, NEXT}, "Binding Updates unknown there"},
		{4, 2, {TOLD, TOLD}, "Home Address option unknown"},
	};

	(void)state;
	for (unsigned i = 0; i < 2 * N_OF(v); i++) {
		enum effect want = v[i / 2].in[i % 2];
		uint64_t from;
		struct mr_event ev;

		drive_conf();
		d.conf.n_has = 1 + i % 2;
		drive_new();
		arrive_at_a();
		from = d.now;
		ev = icmp(v[i / 2].type, v[i / 2].code);
		forget();
		step(&ev);
		assert_true(says(NOTE_MR_RETRY, v[i / 2].says));
		step(&ev); /* told once */
		assert_int_equal(d.n, 1);
		forget();
		run(40000);
		assert_int_equal(nth(MR_DO_SEND_MH, 0)->at - from, want == TOLD   ? 150
								   : want == NEXT ? 1500
										  : 32000);
		assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.dst.s6_addr[15] - 1, want == NEXT);
		assert_false(mr_bound(d.mr, d.now));
		drive_teardown(NULL);
	}
}

static void an_icmp_error_about_anything_else_is_ignored(void **state)
{
	struct mr_event ev, good;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	good = icmp(1, 0);
	forget();
	for (unsigned i = 0; i < 5; i++) {
		ev = good;
		switch (i) {
		case 0: ev.error.seq++; break;
		case 1: ev.error.dst = d.has[1]; break;
		case 2: ev.error.src = A("2001:db8:a::9"); break;
		case 3: ev.error.hoa = A("2001:db8:100::9"); break;
		default: ev.error.hoa = in6addr_any; break;
		}
		step(&ev);
	}
	assert_int_equal(d.n, 0);
	assert_int_equal(mr_counter(d.mr, MR_C_error_ignored), 5);
	good.error.esp = true; /* protection has judged the number */
	good.error.seq = 0;
	step(&good);
	assert_int_equal(mr_counter(d.mr, MR_C_error_rx), 1);
	ack(0, 0, d.mr->bul.seq, 600); /* and still counts */
	assert_true(mr_bound(d.mr, d.now));
	forget();
	step(&good); /* nothing is outstanding */
	assert_int_equal(d.n, 0);
}

/* Whoever can forge one: the binding, its tunnel and its home agent stay. */
static void no_icmp_error_touches_a_live_binding(void **state)
{
	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	for (unsigned type = 1; type <= 4; type++) {
		for (unsigned code = 0; code <= 7; code++) {
			struct mr_event ev = icmp((uint8_t)type, (uint8_t)code);

			step(&ev);
		}
	}
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	run(10000);
	assert_int_equal(asked(), 0);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVE_TEST(a_request_or_an_unknown_binding_leads_to_an_update),
		DRIVE_TEST(an_unknown_binding_ends_a_long_wait),
		DRIVE_TEST_CONF(no_event_makes_more_than_three_updates_a_second),
		DRIVE_TEST(a_request_comes_to_the_home_address),
		DRIVE_TEST(an_error_about_another_home_address_is_not_ours),
		DRIVE_TEST_CONF(requests_and_errors_do_not_eat_up_the_update_rate),
		DRIVE_TEST_CONF(who_does_not_know_updates_is_left_alone_for_a_while),
		DRIVE_TEST_CONF(an_error_in_the_name_of_who_holds_the_binding_is_not_believed),
		DRIVE_TEST(silence_is_told_too),
		DRIVE_TEST_CONF(each_icmp_error_has_its_effect),
		DRIVE_TEST_CONF(an_icmp_error_about_anything_else_is_ignored),
		DRIVE_TEST_CONF(no_icmp_error_touches_a_live_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
