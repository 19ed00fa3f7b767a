/* test_sec_esp.c - both ends of signalling under ESP, with static keys and with such that come and
 * go: what gets through, what does not, and what is known after a restart. */
#include <errno.h>
#include "common/sec/t/ends.h"

/* --- static ESP --- */

static void use_esp(void)
{
	static const char text[] =
		"esp to-ha 1000 hmac-sha-256-128 "
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f aes-cbc "
		"000102030405060708090a0b0c0d0e0f\n"
		"esp to-mr 1001 hmac-sha-256-128 "
		"ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
	char copy[sizeof(text)];
	unsigned line;

	memcpy(copy, text, sizeof(text));
	assert_null(keys_parse(copy, &keys, &line));
	ha.n_marks = mr.n_marks = 0;
	end_start(&ha, true, SEC_ESP_STATIC, &keys);
	end_start(&mr, false, SEC_ESP_STATIC, &keys);
}

/* As protect_add() leaves one whose keys can't be used; strangers are served in clear. */
static void a_pair_without_keys_is_refused(void **state)
{
	static const struct keys none;
	struct in6_addr to = A(HA_ADDR), hoa = A(HOA_ADDR);
	struct mh_env bu = update(1);

	(void)state;
	use_esp();
	end_start(&ha, true, SEC_NONE, &keys);
	sec_remove(ha.sec, &to, &hoa);
	assert_int_equal(sec_add(ha.sec, &to, &hoa, "mr1", SEC_ESP_STATIC, &none), 0);
	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	size = (size_t)mh_encode_packet(&bu, pkt, sizeof(pkt));
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
}

static void esp_hides_and_carries_the_message(void **state)
{
	static const uint8_t unasked[] = {MH_BRR, MH_BE, MH_HB};
	struct mh_env bu = update(7);
	struct ip6_pkt ip;

	(void)state;
	use_esp();
	seal(&mr, &bu);
	assert_int_equal(ip6_decode(pkt, size, &ip), IP6_OK);
	assert_true(ip.has_hao && ip.proto == IP6_PROTO_ESP);
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.m.bu.seq, 7);
	assert_true(addr6_eq(&got.hoa, &bu.hoa) && addr6_eq(&got.m.o.alt_coa, &bu.src));
	assert_int_equal(open_at(&ha), MH_DROP_SEC); /* again */
	assert_int_equal(count(&ha, SEC_C_esp_replay), 1);
	struct mh_env ba = answer(&bu, 0);

	seal(&ha, &ba);
	assert_int_equal(ip6_decode(pkt, size, &ip), IP6_OK);
	assert_true(ip.has_rh2 && ip.proto == IP6_PROTO_ESP);
	assert_int_equal(open_at(&mr), MH_OK);
	assert_int_equal(got.m.ba.seq, 7);
	/* What a home agent says of its own accord is protected alike. */
	for (unsigned i = 0; i < N_OF(unasked); i++) {
		memset(&ba.m, 0, sizeof(ba.m));
		ba.m.type = unasked[i];
		ba.rh2 = true;
		seal(&ha, &ba);
		assert_int_equal(open_at(&mr), MH_OK);
		assert_int_equal(got.m.type, unasked[i]);
		size = (size_t)mh_encode_packet(&ba, pkt, sizeof(pkt));
		assert_int_equal(open_at(&mr), MH_DROP_SEC);
		assert_int_equal(count(&mr, SEC_C_sec_clear), i + 1);
	}
}

/* RFC 3776 s4.2: exactly one association for each home address. */
/* Revocation and home agent switch: RFC 4285's option is for updates and acknowledgements only. */
static void an_answer_in_clear_is_dropped_under_esp(void **state) /* RFC 6275 s11.7.3: 135, too */
{
	static const uint8_t statuses[] = {0, MH_ST_SEQ_WINDOW, 129};
	struct mh_env bu = update(7);

	(void)state;
	use_esp();
	seal(&mr, &bu);
	for (unsigned i = 0; i < N_OF(statuses); i++) {
		struct mh_env ba = answer(&bu, statuses[i]);

		size = (size_t)mh_encode_packet(&ba, pkt, sizeof(pkt));
		assert_int_equal(open_at(&mr), MH_DROP_SEC);
	}
}

static void control_messages_need_esp(void **state) /* RFC 5846 s6.1, RFC 5142 s6.1 */
{
	static const uint8_t types[] = {MH_BR, MH_HAS};
	struct mh_env bu = update(1), e = answer(&bu, 0);

	(void)state;
	for (unsigned esp = 0; esp < 2; esp++) {
		if (esp)
			use_esp();
		for (unsigned i = 0; i < N_OF(types); i++) {
			memset(&e.m, 0, sizeof(e.m));
			e.m.type = types[i];
			e.rh2 = true;
			size = (size_t)mh_encode_packet(&e, pkt, sizeof(pkt));
			assert_int_equal(open_at(&mr), MH_DROP_SEC);
			if (!esp)
				continue;
			seal(&ha, &e);
			assert_int_equal(open_at(&mr), MH_OK);
			assert_int_equal(got.m.type, types[i]);
			assert_true(got.rh2);
		}
	}
	memset(&bu.m, 0, sizeof(bu.m)); /* the acknowledgement */
	bu.m.type = MH_BR;
	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(got.m.type, MH_BR);
}

static void esp_of_another_home_address(void **state)
{
	struct mh_env bu = update(7);
	struct in6_addr other = A("2001:db8:100::2");

	(void)state;
	use_esp();
	seal(&mr, &bu);
	memcpy(pkt + 48, &other, 16); /* the Home Address option is not covered */
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(count(&ha, SEC_C_esp_spi), 1);
	assert_int_equal(ha.n_marks, 0);
}

static void esp_numbers_go_on_after_a_restart(void **state)
{
	struct mh_env bu = update(1);
	uint8_t old[IP6_SIG_MAX];
	size_t old_size;

	(void)state;
	use_esp();
	seal(&mr, &bu);
	memcpy(old, pkt, size);
	old_size = size;
	assert_int_equal(open_at(&ha), MH_OK);
	end_start(&ha, true, SEC_ESP_STATIC, &keys);
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	end_start(&mr, false, SEC_ESP_STATIC, &keys);
	seal(&mr, &bu);
	assert_memory_not_equal(pkt + 64, old + 64, 8);
	assert_int_equal(pkt[64 + 6], 4); /* 1025: those reserved before are lost */
	assert_int_equal(pkt[64 + 7], 1);
	assert_int_equal(open_at(&ha), MH_OK);
	memcpy(pkt, old, old_size);
	size = old_size;
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(mr.kept, 2); /* one write for a thousand */
}

/* --- ESP with keys that come and go --- */

static uint64_t ms; /* now */

static void install(unsigned n)
{
	struct in6_addr ha_addr = A(HA_ADDR), hoa = A(HOA_ADDR);
	struct esp_sa to_ha = {.spi = 1000 + n, .cipher = ESP_GCM, .enc_size = 32, .replay = true},
		      to_mr = to_ha;

	to_mr.spi = 2000 + n;
	memset(to_ha.enc, (int)n, 32);
	memset(to_mr.enc, (int)n + 100, 32);
	assert_int_equal(sec_install(ha.sec, &ha_addr, &hoa, &to_ha, &to_mr, ms), 0);
	if (n != 9) /* 9: the router never learns of them */
		assert_int_equal(sec_install(mr.sec, &ha_addr, &hoa, &to_mr, &to_ha, ms), 0);
}

static void keys_come_and_go(void **state)
{
	struct mh_env bu = update(1);
	uint8_t late[IP6_SIG_MAX];
	size_t late_size;

	(void)state;
	end_start(&ha, true, SEC_ESP, &keys);
	end_start(&mr, false, SEC_ESP, &keys);
	assert_true(sec_needs_keys(mr.sec, &bu, ms));
	assert_false(sec_needs_keys(ha.sec, &bu, ms));
	assert_int_equal(sec_seal(mr.sec, &bu, now, pkt, sizeof(pkt)), -ENOKEY);
	size = (size_t)mh_encode_packet(&bu, pkt, sizeof(pkt));
	assert_int_equal(open_at(&ha), MH_DROP_SEC); /* in clear, keys or not */
	install(1);
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_OK);
	seal(&mr, &bu); /* on its way while the keys change */
	memcpy(late, pkt, size);
	late_size = size;
	install(2);
	memcpy(pkt, late, late_size);
	size = late_size;
	assert_int_equal(open_at(&ha), MH_OK);
	assert_int_equal(open_at(&ha), MH_DROP_SEC); /* once */
	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_OK);
	/* The new one has been heard: the old one is gone. */
	memcpy(pkt, late, late_size);
	size = late_size;
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	assert_int_equal(count(&ha, SEC_C_esp_spi), 1);
	assert_int_equal(ha.kept, 1); /* nothing of it survives a restart */
}

/* Does an update under the router's keys get an answer that it takes? */
static void round_trip(void)
{
	struct mh_env bu = update(1), ba = answer(&bu, 0);

	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_OK);
	seal(&ha, &ba);
	assert_int_equal(open_at(&mr), MH_OK);
}

/* The answer to the router's hello was lost: the old ones go on at both ends. */
static void keys_that_one_end_never_learnt_of(void **state)
{
	struct mh_env bu = update(1);

	(void)state;
	end_start(&ha, true, SEC_ESP, &keys);
	end_start(&mr, false, SEC_ESP, &keys);
	install(1);
	round_trip();
	install(9);
	for (unsigned i = 0; i < 5; i++)
		round_trip();
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	install(3);
	round_trip();
}

/* They outlive a restart, but not the secret that they were made with, nor the identity. */
static void kept_keys_are_those_of_the_secret(void **state)
{
	struct keys other = keys;
	struct mh_env bu = update(1);

	(void)state;
	ha.sessions = true;
	keys.psk = (struct keys_psk){"blue", 16, {1}};
	end_start(&ha, true, SEC_ESP, &keys);
	end_start(&mr, false, SEC_ESP, &keys);
	install(1);
	round_trip();
	end_start(&ha, true, SEC_ESP, &keys);
	round_trip();
	for (unsigned i = 0; i < 3; i++) {
		other = keys;
		if (i == 0)
			other.psk.secret[15] ^= 1;
		else
			*(i == 1 ? other.psk.id : other.cert_id) ^= 'x';
		end_start(&ha, true, SEC_ESP, &other);
		seal(&mr, &bu);
		assert_int_equal(open_at(&ha), MH_DROP_SEC);
		assert_int_equal(count(&ha, SEC_C_esp_spi), 1);
	}
	end_start(&ha, true, SEC_ESP, &keys);
	round_trip();
}

/* What the home agent says between the two ends' learning of the new keys is understood. */
static void nothing_is_lost_while_keys_change(void **state)
{
	struct mh_env bu = update(1), ba = answer(&bu, 0);
	struct in6_addr ha_addr = A(HA_ADDR), hoa = A(HOA_ADDR);
	struct esp_sa to_ha = {.spi = 1009, .cipher = ESP_GCM, .enc_size = 32, .replay = true},
		      to_mr = to_ha;

	(void)state;
	end_start(&ha, true, SEC_ESP, &keys);
	end_start(&mr, false, SEC_ESP, &keys);
	install(1);
	round_trip();
	to_mr.spi = 2009;
	memset(to_ha.enc, 9, 32);
	memset(to_mr.enc, 109, 32);
	install(9);
	seal(&ha, &ba); /* leaves before the router has them, and arrives after */
	assert_int_equal(sec_install(mr.sec, &ha_addr, &hoa, &to_mr, &to_ha, ms), 0);
	assert_int_equal(open_at(&mr), MH_OK);
	seal(&ha, &ba); /* the router has not said anything yet */
	assert_int_equal(open_at(&mr), MH_OK);
	round_trip(); /* under the new ones */
	assert_int_equal(count(&mr, SEC_C_esp_spi) + count(&ha, SEC_C_esp_spi), 0);
}

/* RFC 4303 s3.3.3: long before numbers would repeat, and by time. */
static void old_and_used_keys_are_replaced(void **state)
{
	struct mh_env bu = update(1), ba = answer(&bu, 0);

	(void)state;
	end_start(&ha, true, SEC_ESP, &keys);
	end_start(&mr, false, SEC_ESP, &keys);
	ms = 5000;
	install(1);
	sec_rekey(ha.sec, 1000);
	sec_rekey(mr.sec, 1000);
	ms = 5999;
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	ms = 6000;
	assert_true(sec_needs_keys(mr.sec, &bu, ms));
	assert_false(sec_needs_keys(ha.sec, &ba, ms)); /* the router's business */
	round_trip();
	install(2);
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	sec_rekey(mr.sec, 0);
	ms += 1000000000;
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	for (unsigned i = 0; i < 1u << 15; i++) {
		assert_false(sec_needs_keys(mr.sec, &bu, ms));
		round_trip();
	}
	seal(&mr, &bu);
	assert_true(sec_needs_keys(mr.sec, &bu, ms));
	install(3);
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	round_trip();
	ms = 0;
}

/* A router gets other secrets while it runs: what it has does until the new is there. */
static void a_router_changes_its_secrets(void **state)
{
	struct keys other = keys;
	struct mh_env bu = update(1), ba = answer(&bu, 0);

	(void)state;
	assert_int_equal(deliver(1), 0);
	other.auth[0].spi = 999;
	other.auth[0].secret[0] ^= 1;
	sec_change_any(mr.sec, &other);
	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	end_start(&ha, true, SEC_AUTH, &other);
	assert_int_equal(deliver(2), 0);
	assert_int_equal(got.m.o.mac.spi, 999);
	assert_int_equal(deliver_answer(0), MH_OK);

	other = keys;
	mr.sessions = true;
	end_start(&ha, true, SEC_ESP, &keys);
	end_start(&mr, false, SEC_ESP, &keys);
	install(1);
	other.psk = (struct keys_psk){"blue", 16, {2}};
	sec_change_any(mr.sec, &other);
	assert_true(sec_needs_keys(mr.sec, &bu, ms));
	round_trip();
	install(2);
	assert_false(sec_needs_keys(mr.sec, &bu, ms));
	round_trip();
	end_start(&mr, false, SEC_ESP, &other); /* they were made with these */
	round_trip();

	use_esp();
	other = keys;
	other.esp[KEYS_TO_HA].spi = 1002;
	other.esp[KEYS_TO_MR].spi = 1003;
	other.esp[KEYS_TO_MR].mac[0] ^= 1;
	round_trip();
	seal(&ha, &ba); /* arrives when the router has the new ones */
	sec_change_any(mr.sec, &other);
	assert_int_equal(open_at(&mr), MH_OK);
	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_DROP_SEC);
	end_start(&ha, true, SEC_ESP_STATIC, &other);
	round_trip();
	round_trip();
	round_trip();
	end_start(&mr, false, SEC_ESP_STATIC, &other);
	assert_int_equal(open_at(&mr), MH_DROP_SEC); /* seen before the restart */
	round_trip();
	round_trip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_pair_without_keys_is_refused),
		T(esp_hides_and_carries_the_message),
		T(an_answer_in_clear_is_dropped_under_esp),
		T(control_messages_need_esp),
		T(esp_of_another_home_address),
		T(esp_numbers_go_on_after_a_restart),
		T(keys_come_and_go),
		T(keys_that_one_end_never_learnt_of),
		T(kept_keys_are_those_of_the_secret),
		T(nothing_is_lost_while_keys_change),
		T(old_and_used_keys_are_replaced),
		T(a_router_changes_its_secrets),
	};

	return cmocka_run_group_tests_name("sec_esp", tests, NULL, NULL);
}
