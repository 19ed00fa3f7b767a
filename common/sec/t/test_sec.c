/* test_sec.c - both ends of protected signalling by RFC 4285's option: what gets through, what does
 * not, and what is known after a restart. */
#include "common/sec/t/ends.h"

static void a_round_trip_under_the_first_spi(void **state)
{
	(void)state;
	assert_int_equal(deliver(1), 0);
	assert_int_equal(got.m.o.mac.spi, 256);
	assert_int_equal(got.m.o.mac.size, AUTH_MAC_SIZE);
	assert_int_equal(got.m.o.id_size, 11);
	assert_memory_equal(got.m.o.id, "mr1@example", 11);
	assert_true(got.m.o.has_stamp);
	assert_int_equal(deliver_answer(0), MH_OK);
	assert_int_equal(got.m.o.mac.spi, 256);
	assert_int_equal(count(&ha, SEC_C_auth_ok), 1);
	assert_int_equal(count(&mr, SEC_C_auth_ok), 1);
}

/* Rotation: the router sends under the new one first, the home agent has both, and answers alike.
 */
static void either_of_two_spis_is_taken(void **state)
{
	struct keys swapped = keys;

	(void)state;
	swapped.auth[0] = keys.auth[1];
	swapped.n_auth = 1;
	end_start(&mr, false, SEC_AUTH, &swapped);
	assert_int_equal(deliver(1), 0);
	assert_int_equal(got.m.o.mac.spi, 257);
	assert_int_equal(deliver_answer(0), MH_OK);
	assert_int_equal(got.m.o.mac.spi, 257);
}

static void messages_in_clear_are_dropped(void **state)
{
	struct mh_env bu = update(1), ba = answer(&bu, 0);
	int n = mh_encode_packet(&bu, pkt, sizeof(pkt));

	(void)state;
	size = (size_t)n;
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(count(&ha, SEC_C_auth_missing), 1);
	size = (size_t)mh_encode_packet(&ba, pkt, sizeof(pkt));
	assert_int_equal(open_at(&mr), MH_DROP_SEC);
	assert_int_equal(count(&mr, SEC_C_auth_missing), 1);
	bu.hoa = A("2001:db8:100::99"); /* nobody's */
	size = (size_t)mh_encode_packet(&bu, pkt, sizeof(pkt));
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(count(&ha, SEC_C_sec_stranger), 1);
	/* From the home address itself, without a Home Address option: the same router. */
	bu = update(1);
	bu.src = bu.hoa;
	bu.hoa = in6addr_any;
	size = (size_t)mh_encode_packet(&bu, pkt, sizeof(pkt));
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(count(&ha, SEC_C_auth_missing), 2);
	assert_int_equal(ha.kept, 1);
}

/* RFC 4285 s5.1.1: answered with 146, a few of them; nothing is learnt from it. */
static void every_bent_octet_is_noticed(void **state)
{
	struct mh_env bu = update(1);
	uint8_t good[IP6_SIG_MAX];
	struct ip6_pkt ip;
	unsigned refused = 0;

	(void)state;
	seal(&mr, &bu);
	memcpy(good, pkt, size);
	assert_int_equal(ip6_decode(pkt, size, &ip), IP6_OK);
	for (size_t i = ip.payload_off; i < size; i++) {
		memcpy(pkt, good, size);
		pkt[i] ^= 1;
		set_csum(pkt + ip.payload_off, ip.payload_size, 4, IP6_PROTO_MH, &bu.hoa, &bu.dst);
		now += NTP_S / 2;
		if (i - ip.payload_off == 4 || i - ip.payload_off == 5)
			continue; /* the checksum: put right again */
		if (open_at(&ha) == MH_OK) {
			assert_int_equal(got.refuse, MH_ST_AUTH_FAIL);
			refused++;
		}
	}
	assert_true(refused > 40);
	assert_int_equal(count(&ha, SEC_C_auth_ok), 0);
	assert_int_equal(ha.kept, 1);
}

/* The care-of address without an option is the source, which the authenticator covers. */
static void another_care_of_address_is_noticed(void **state)
{
	struct mh_env bu = update(1);
	struct in6_addr other = A("2001:db8:b::2");

	(void)state;
	bu.m.o.alt_coa = in6addr_any;
	seal(&mr, &bu);
	memcpy(pkt + 8, &other, 16);
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.refuse, MH_ST_AUTH_FAIL);
}

static void refusals_are_few(void **state)
{
	unsigned answered = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct mh_env bu = update((uint16_t)i);

		seal(&mr, &bu);
		pkt[size - 1] ^= 1;
		set_csum(pkt + 64, size - 64, 4, IP6_PROTO_MH, &bu.hoa, &bu.dst);
		answered += open_at(&ha) == MH_OK;
	}
	assert_int_equal(answered, 5);
	assert_int_equal(count(&ha, SEC_C_auth_failed), 1000);
	assert_int_equal(count(&ha, SEC_C_auth_limited), 995);
	now += NTP_S;
	assert_int_equal(deliver(1), 0);
}

static void an_unknown_spi_and_another_home_agent_are_silent(void **state)
{
	struct keys other = keys;

	(void)state;
	other.auth[0].spi = 999;
	end_start(&mr, false, SEC_AUTH, &other);
	struct mh_env bu = update(1);

	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(count(&ha, SEC_C_auth_spi), 1);
}

static void replays_are_refused_also_after_a_restart(void **state)
{
	struct mh_env first;

	(void)state;
	assert_int_equal(deliver(1), 0);
	first = got;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(open_at(&ha), MH_OK);
		assert_int_equal(got.refuse, MH_ST_ID_MISMATCH);
		now += NTP_S;
		if (i == 1)
			end_start(&ha, true, SEC_AUTH, &keys);
	}
	assert_int_equal(first.refuse, 0);
	assert_int_equal(deliver(2), 0);
}

/* All is lost: the replay is refused, and so is the router's next one, but it learns from that. */
static void a_lost_memory_costs_one_round_trip(void **state)
{
	uint8_t replay[IP6_SIG_MAX];
	size_t replay_size;

	(void)state;
	assert_int_equal(deliver(1), 0);
	memcpy(replay, pkt, size);
	replay_size = size;
	ha.n_marks = 0;
	end_start(&ha, true, SEC_AUTH, &keys);
	now += NTP_S / 10;
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.refuse, MH_ST_ID_MISMATCH);
	assert_int_equal(deliver(2), MH_ST_ID_MISMATCH);
	assert_int_equal(deliver_answer(MH_ST_ID_MISMATCH), MH_OK);
	assert_int_equal(count(&mr, SEC_C_auth_resync), 1);
	assert_int_equal(deliver(3), 0);
	memcpy(pkt, replay, replay_size);
	size = replay_size;
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.refuse, MH_ST_ID_MISMATCH);
}

static void an_update_without_a_timestamp_gets_145(void **state)
{
	/* As another implementation would make it: sealed by hand. */
	struct mh_env bu = update(1);
	struct keys_auth *a = &keys.auth[0];
	uint8_t mh[MH_MAX_SIZE], key[AUTH_KEY_SIZE];
	struct ip6_pkt ip;
	int n;

	(void)state;
	bu.m.o.mac.spi = 256;
	bu.m.o.mac.subtype = 1;
	bu.m.o.mac.size = 16;
	n = mh_encode(&bu.m, mh, sizeof(mh));
	keys_derive(a, "nemo auth-option MN-HA", &bu.dst, &bu.hoa, key, sizeof(key));
	auth_mac(key, &bu.src, &bu.hoa, mh, (size_t)n - 16, mh + n - 16);
	mh_frame(&bu, mh, (size_t)n, &ip);
	size = (size_t)ip6_encode(&ip, pkt, sizeof(pkt));
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.refuse, MH_ST_MESG_ID_REQUIRED);
}

/* RFC 4285 s6: the timestamp of an answer is that of an update of ours. */
static void answers_to_nothing_are_dropped(void **state)
{
	(void)state;
	assert_int_equal(deliver(1), 0);
	got.m.o.stamp++;
	assert_int_equal(deliver_answer(0), MH_DROP_SEC);
	assert_int_equal(count(&mr, SEC_C_auth_foreign), 1);
	assert_int_equal(deliver(2), 0);
	got.m.o.stamp++;
	assert_int_equal(deliver_answer(MH_ST_ID_MISMATCH), MH_DROP_SEC);
	assert_int_equal(count(&mr, SEC_C_auth_resync), 0);
}

static void what_is_not_protected_passes_as_it_is(void **state)
{
	struct mh_env bu = update(1);
	uint8_t plain[IP6_SIG_MAX];

	(void)state;
	end_start(&ha, true, SEC_NONE, &keys);
	end_start(&mr, false, SEC_NONE, &keys);
	seal(&mr, &bu);
	assert_int_equal(mh_encode_packet(&bu, plain, sizeof(plain)), size);
	assert_memory_equal(plain, pkt, size);
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.refuse, 0);
}

/* A Binding Error can do no harm, whoever sent it; it can't be authenticated by RFC 4285. */
static void harmless_messages_pass(void **state)
{
	struct mh_env e = update(1);

	(void)state;
	e.src = A(HA_ADDR);
	e.dst = A(COA_ADDR);
	e.hoa = in6addr_any;
	memset(&e.m, 0, sizeof(e.m));
	e.m.type = MH_BE;
	e.m.be.status = 1;
	size = (size_t)mh_encode_packet(&e, pkt, sizeof(pkt));
	assert_int_equal(open_at(&mr), MH_OK);
	e.m.type = MH_COTI;
	size = (size_t)mh_encode_packet(&e, pkt, sizeof(pkt));
	assert_int_equal(open_at(&mr), MH_DROP_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_round_trip_under_the_first_spi),
		T(either_of_two_spis_is_taken),
		T(messages_in_clear_are_dropped),
		T(every_bent_octet_is_noticed),
		T(another_care_of_address_is_noticed),
		T(refusals_are_few),
		T(an_unknown_spi_and_another_home_agent_are_silent),
		T(replays_are_refused_also_after_a_restart),
		T(a_lost_memory_costs_one_round_trip),
		T(an_update_without_a_timestamp_gets_145),
		T(answers_to_nothing_are_dropped),
		T(what_is_not_protected_passes_as_it_is),
		T(harmless_messages_pass),
	};

	return cmocka_run_group_tests_name("sec", tests, NULL, NULL);
}
