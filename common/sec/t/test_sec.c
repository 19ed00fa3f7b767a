/* test_sec.c - both ends of protected signalling: what gets through, what does not, and what is
 * known after a restart. */
#include <errno.h>
#include "common/sec/t/pair.h"

static struct end ha, mr;
static struct keys keys;
static uint64_t now;
static uint8_t pkt[IP6_SIG_MAX];
static size_t size;
static struct mh_env got;
static struct sec_clear clear;

static int setup(void **state)
{
	(void)state;
	now = 3900000000 * NTP_S;
	memset(&keys, 0, sizeof(keys));
	keys.n_auth = 2;
	for (unsigned i = 0; i < 2; i++) {
		keys.auth[i].spi = 256 + i;
		keys.auth[i].size = 32;
		memset(keys.auth[i].secret, (int)i + 1, 32);
	}
	end_start(&ha, true, SEC_AUTH, &keys);
	end_start(&mr, false, SEC_AUTH, &keys);
	/* The home agent's floor, as if it had served this router before. */
	end_keep(&ha, &(struct sec_mark){SEC_MARK_FLOOR, A(HA_ADDR), A(HOA_ADDR), now - 100});
	end_start(&ha, true, SEC_AUTH, &keys);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sec_free(ha.sec);
	sec_free(mr.sec);
	memset(&ha, 0, sizeof(ha));
	memset(&mr, 0, sizeof(mr));
	return 0;
}

static void seal(struct end *from, const struct mh_env *e)
{
	int n = sec_seal(from->sec, e, now, pkt, sizeof(pkt));

	assert_true(n > 0);
	size = (size_t)n;
}

static enum mh_verdict open_at(struct end *to)
{
	uint8_t *copy = exact(pkt, size);
	enum ip6_verdict chain;
	unsigned where;
	enum mh_verdict v = sec_unwrap(to->sec, copy, size, now, &clear);

	if (v == MH_OK)
		v = sec_open(to->sec, &clear, now, &got, &chain, &where);

	free(copy);
	return v;
}

static uint64_t count(const struct end *e, enum sec_counter c)
{
	return sec_counter(e->sec, c);
}

/* An update arrives; what has to be answered to it. */
static unsigned deliver(uint16_t seq)
{
	struct mh_env bu = update(seq);

	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_OK);
	return got.refuse;
}

static enum mh_verdict deliver_answer(uint8_t status)
{
	struct mh_env ba = answer(&got, status);

	seal(&ha, &ba);
	return open_at(&mr);
}

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
	ba.m.type = MH_BRR;
	ba.rh2 = true;
	seal(&ha, &ba);
	assert_int_equal(open_at(&mr), MH_OK);
	size = (size_t)mh_encode_packet(&ba, pkt, sizeof(pkt));
	assert_int_equal(open_at(&mr), MH_DROP_SEC);
	assert_int_equal(count(&mr, SEC_C_sec_clear), 1);
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

	return cmocka_run_group_tests_name("sec", tests, NULL, NULL);
}
