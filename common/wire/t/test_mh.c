/* Mobility Header messages and packets as they are laid out: RFC 6275 s6.1, s6.2; RFC 3963 s4. */
#include "common/wire/t/packet.h"
#include <errno.h>

static const char *const COA = "2001:db8:a::2", *const HA = "2001:db8:1::1",
			 *const HOA = "2001:db8:1::5";

/* 'm' is encoded as 'hex', and 'hex' decoded as 'm'. */
static void assert_wire(const struct mh_msg *m, const char *hex)
{
	uint8_t want[MH_MAX_SIZE], buf[MH_MAX_SIZE];
	size_t n = unhex(hex, want, sizeof(want));
	struct mh_msg back;
	unsigned where;

	assert_int_equal(mh_encode(m, buf, sizeof(buf)), n);
	assert_memory_equal(buf, want, n);
	memset(&back, 0, sizeof(back));
	assert_int_equal(mh_decode(want, n, &back, &where), MH_OK);
	assert_memory_equal(&back, m, sizeof(back));
}

/* --- known messages, laid out by hand from the RFC's figures --- */

static void messages_without_options(void **state)
{
	struct mh_msg m = mh_blank(MH_BRR);

	(void)state;
	assert_wire(&m, "3b 00 00 00 0000 0000");
	m = mh_blank(MH_HOTI);
	memcpy(m.test.cookie, "\1\2\3\4\5\6\7\10", 8);
	assert_wire(&m, "3b 01 01 00 0000 0000 0102030405060708");
	m.type = MH_COTI;
	assert_wire(&m, "3b 01 02 00 0000 0000 0102030405060708");
	m.type = MH_HOT;
	m.test.nonce = 0xabcd;
	memcpy(m.test.token, "\21\22\23\24\25\26\27\30", 8);
	assert_wire(&m, "3b 02 03 00 0000 abcd 0102030405060708 1112131415161718");
	m.type = MH_COT;
	assert_wire(&m, "3b 02 04 00 0000 abcd 0102030405060708 1112131415161718");
	m = mh_blank(MH_BE);
	m.be.status = 2;
	m.be.hoa = A(HOA);
	assert_wire(&m, "3b 02 07 00 0000 02 00 20010db8000100000000000000000005");
}

static void binding_updates(void **state)
{
	struct mh_msg m = mh_blank(MH_BU);

	(void)state;
	m.bu.seq = 0x1234;
	m.bu.flags = MH_BU_A | MH_BU_H;
	m.bu.lifetime_s = 120;
	assert_wire(&m, "3b 01 05 00 0000 1234 c000 001e 01020000");
	m.bu.flags = MH_BU_A | MH_BU_H | MH_BU_L | MH_BU_K | MH_BU_M | MH_BU_R;
	assert_wire(&m, "3b 01 05 00 0000 1234 fc00 001e 01020000");
	m.bu.flags = MH_BU_A | MH_BU_H | MH_BU_R;
	m.bu.lifetime_s = 262140;
	m.o.alt_coa = A(COA);
	assert_wire(&m, "3b 03 05 00 0000 1234 c400 ffff 0100"
			"0310 20010db8000a00000000000000000002");
	m.o.n_mnp = 1;
	m.o.mnp[0] = P("2001:db8:100::/56");
	assert_wire(&m, "3b 06 05 00 0000 1234 c400 ffff 0100"
			"0310 20010db8000a00000000000000000002 01020000"
			"0612 0038 20010db8010000000000000000000000");
	m.o.n_mnp = 2;
	m.o.mnp[1] = P("2001:db8:200:1::/64");
	assert_wire(&m, "3b 09 05 00 0000 1234 c400 ffff 0100"
			"0310 20010db8000a00000000000000000002 01020000"
			"0612 0038 20010db8010000000000000000000000 01020000"
			"0612 0040 20010db8020000010000000000000000");
	m.o.alt_coa = in6addr_any;
	assert_wire(&m, "3b 06 05 00 0000 1234 c400 ffff"
			"0612 0038 20010db8010000000000000000000000 01020000"
			"0612 0040 20010db8020000010000000000000000");
	m.o.n_mnp = 1;
	memset(&m.o.mnp[1], 0, sizeof(m.o.mnp[1]));
	assert_wire(&m, "3b 03 05 00 0000 1234 c400 ffff"
			"0612 0038 20010db8010000000000000000000000");
}

static void binding_update_to_a_correspondent(void **state)
{
	struct mh_msg m = mh_blank(MH_BU);

	(void)state;
	m.bu.flags = MH_BU_A;
	m.o.has_nonce = true;
	m.o.home_nonce = 0x0102;
	m.o.careof_nonce = 0x0304;
	m.o.auth_size = 12;
	memset(m.o.auth, 0xaa, 12);
	assert_wire(&m, "3b 03 05 00 0000 0000 8000 0000 0404 0102 0304"
			"050c aaaaaaaaaaaaaaaaaaaaaaaa");
}

static void binding_acknowledgements(void **state)
{
	struct mh_msg m = mh_blank(MH_BA);

	(void)state;
	m.ba.seq = 0xfffe;
	m.ba.lifetime_s = 3600;
	m.ba.flags = MH_BA_R;
	assert_wire(&m, "3b 01 06 00 0000 00 40 fffe 0384 01020000");
	m.ba.status = MH_ST_INVALID_PREFIX;
	m.ba.flags = MH_BA_K;
	m.ba.lifetime_s = 0;
	assert_wire(&m, "3b 01 06 00 0000 8d 80 fffe 0000 01020000");
	m.o.refresh_s = 1200;
	assert_wire(&m, "3b 01 06 00 0000 8d 80 fffe 0000 0202 012c");
	m.o.auth_size = 12;
	memset(m.o.auth, 0xbb, 12);
	assert_wire(&m, "3b 03 06 00 0000 8d 80 fffe 0000 0202 012c"
			"0100 050c bbbbbbbbbbbbbbbbbbbbbbbb");
}

static void home_agent_switches(void **state) /* RFC 5142 s4 */
{
	struct mh_msg m = mh_blank(MH_HAS);

	(void)state;
	assert_wire(&m, "3b 00 0c 00 0000 00 00");
	m.has.n = 1;
	m.has.ha[0] = A(HA);
	assert_wire(&m, "3b 02 0c 00 0000 01 00 20010db8000100000000000000000001");
	m.has.n = 2;
	m.has.ha[1] = A(HOA);
	m.o.refresh_s = 480;
	assert_wire(&m, "3b 05 0c 00 0000 02 00 20010db8000100000000000000000001"
			"20010db8000100000000000000000005 0202 0078 0102 0000");
}

static void heartbeats(void **state) /* RFC 5847 s3.3, s3.4 */
{
	struct mh_msg m = mh_blank(MH_HB);

	(void)state;
	m.hb.seq = 0x01020304;
	assert_wire(&m, "3b 01 0d 00 0000 0000 01020304 0102 0000");
	m.hb.response = true;
	assert_wire(&m, "3b 01 0d 00 0000 0001 01020304 0102 0000");
	m.o.has_restart = true;
	m.o.restart = 0xa1a2a3a4;
	assert_wire(&m, "3b 02 0d 00 0000 0001 01020304 0100 1c04 a1a2a3a4 0102 0000");
	m.hb.unsolicited = true;
	assert_wire(&m, "3b 02 0d 00 0000 0003 01020304 0100 1c04 a1a2a3a4 0102 0000");
}

static void binding_revocations(void **state) /* RFC 5846 s5.1, s5.2 */
{
	struct mh_msg m = mh_blank(MH_BR);

	(void)state;
	m.br = (struct mh_br){.type = MH_BRI, .code = 1, .seq = 0x1234};
	assert_wire(&m, "3b 01 10 00 0000 01 01 1234 0000 0102 0000");
	m.br = (struct mh_br){MH_BRA, MH_BRA_PROXY, 0xfffe, MH_BR_P | MH_BR_V | MH_BR_G};
	assert_wire(&m, "3b 01 10 00 0000 02 87 fffe e000 0102 0000");
	m.br = (struct mh_br){.type = MH_BRI, .seq = 1, .flags = MH_BR_V};
	m.o.has_ipv4_hoa = true;
	memcpy(m.o.ipv4_hoa, "\300\0\2\1", 4);
	assert_wire(&m, "3b 02 10 00 0000 01 00 0001 4000 1d06 8000 c0000201 0102 0000");
}

static void reserved_bits_of_control_messages_are_ignored(void **state)
{ /* RFC 5142 s4, RFC 5846 s5.1, RFC 5847 s3.3 */
	static const char *const hex[] = {"3b 00 0c ff 0000 00 ff",
		"3b 01 0d ff 0000 fffc 00000007 0102 0000",
		"3b 01 10 ff 0000 01 01 0007 1fff 0102 0000"};
	struct mh_msg want, got;
	uint8_t buf[16];
	unsigned where;

	(void)state;
	for (unsigned i = 0; i < N_OF(hex); i++) {
		size_t n = unhex(hex[i], buf, sizeof(buf));

		want = mh_blank(buf[2]);
		if (buf[2] == MH_HB)
			want.hb.seq = 7;
		if (buf[2] == MH_BR)
			want.br = (struct mh_br){.type = MH_BRI, .code = 1, .seq = 7};
		assert_int_equal(mh_decode(buf, n, &got, &where), MH_OK);
		assert_memory_equal(&got, &want, sizeof(got));
	}
}

static void reserved_fields_and_padding_are_ignored(void **state)
{ /* RFC 6275 s6.1.1, s6.2.3; RFC 3963 s4.3.  Flags that nobody knows: test_ha.c, test_bul.c */
	static const char *const hex[][2] = {
		{"3b 00 00 00 0000 0000", "3b 00 00 ff 0000 ffff"},
		{"3b 01 01 00 0000 0000 0102030405060708",
			"3b 01 01 ff 0000 ffff 0102030405060708"},
		{"3b 04 05 00 0000 1234 c400 001e 01020000"
		 "0612 0038 20010db8010000000000000000000000 01020000",
			"3b 04 05 ff 0000 1234 c400 001e 0102dead"
			"0612 ff38 20010db8010000000000000000000000 01020612"},
		{"3b 01 06 00 0000 00 40 fffe 0384 01020000",
			"3b 01 06 ff 0000 00 40 fffe 0384 0102ffff"},
		{"3b 02 07 00 0000 02 00 20010db8000100000000000000000005",
			"3b 02 07 ff 0000 02 ff 20010db8000100000000000000000005"},
	};
	struct mh_msg m[2];
	uint8_t buf[64];
	unsigned where;

	(void)state;
	for (unsigned i = 0; i < N_OF(hex); i++) {
		for (unsigned k = 0; k < 2; k++)
			assert_int_equal(
				mh_decode(buf, unhex(hex[i][k], buf, sizeof(buf)), &m[k], &where),
				MH_OK);
		assert_memory_equal(&m[0], &m[1], sizeof(m[0]));
	}
}

/* The options of RFC 4283 and RFC 4285, one after another; the data is arbitrary here. */
static void authentication_options(void **state)
{
	struct mh_msg m = mh_blank(MH_BU);

	(void)state;
	m.bu = (struct mh_bu){0x1234, MH_BU_A | MH_BU_H | MH_BU_R, 60};
	m.o.alt_coa = A("2001:db8:a::10");
	m.o.id_size = 11;
	memcpy(m.o.id, "mr1@example", 11);
	m.o.has_stamp = true;
	m.o.stamp = 0xe800000080000001;
	m.o.mac.size = 12;
	m.o.mac.subtype = 1;
	m.o.mac.spi = 256;
	memset(m.o.mac.data, 0xcc, 12);
	assert_wire(&m, "3b 09 05 00 0000 1234 c400 000f 0100 0310 20010db8000a00000000000000000010"
			"080c 01 6d7231406578616d706c65 01020000 0a08 e800000080000001"
			"00 0911 01 00000100 cccccccccccccccccccccccc");
	m.o.id_size = 0;
	memset(m.o.id, 0, sizeof(m.o.id));
	m.o.mac.size = 16;
	memset(m.o.mac.data, 0xcc, 16);
	assert_wire(&m, "3b 08 05 00 0000 1234 c400 000f 0100 0310 20010db8000a00000000000000000010"
			"0100 0a08 e800000080000001 0103000000"
			"0915 01 00000100 cccccccccccccccccccccccccccccccc");
}

/* RFC 4285 s5: at most one of a kind, MN-HA the last; what follows it is not covered. */
static void authentication_option_out_of_place(void **state)
{
	static const char head[] = "3b 04 06 00 0000 0040 0001 0096 0100 00 0911 01 00000100"
				   "cccccccccccccccccccccccc";
	uint8_t buf[40];
	struct mh_msg m;
	unsigned where;

	(void)state;
	assert_int_equal(unhex(head, buf, sizeof(buf)), 34);
	unhex("0202 0001 0100", buf + 34, 6); /* Binding Refresh Advice */
	assert_int_equal(mh_decode(buf, 40, &m, &where), MH_OK);
	assert_true(m.o.mac.misplaced);
	unhex("fe02 0001 0100", buf + 34, 6); /* unknown */
	assert_int_equal(mh_decode(buf, 40, &m, &where), MH_OK);
	assert_true(m.o.mac.misplaced);
	unhex("0103 000000 00", buf + 34, 6); /* padding */
	assert_int_equal(mh_decode(buf, 40, &m, &where), MH_OK);
	assert_true(!m.o.mac.misplaced && m.o.mac.size == 12 && m.o.mac.tail == 6);
	buf[16] = 24; /* more than the message has */
	assert_int_equal(mh_decode(buf, 40, &m, &where), MH_DROP_OPTION);
	unhex("0904 01 000001 01 10", buf + 15, 8); /* not even an SPI */
	assert_int_equal(mh_decode(buf, 40, &m, &where), MH_OK);
	assert_true(m.o.mac.misplaced && m.o.mac.size == 0);
}

static void lifetimes_are_rounded_down_and_clamped(void **state)
{
	struct mh_msg m = mh_blank(MH_BA), back;
	uint8_t buf[MH_MAX_SIZE];
	unsigned where;
	int n;

	(void)state;
	m.ba.lifetime_s = 7;
	m.o.refresh_s = 3; /* less than a unit: no option */
	n = mh_encode(&m, buf, sizeof(buf));
	assert_int_equal(mh_decode(buf, (size_t)n, &back, &where), MH_OK);
	assert_int_equal(back.ba.lifetime_s, 4);
	assert_int_equal(back.o.refresh_s, 0);
	m.ba.lifetime_s = UINT32_MAX;
	m.o.refresh_s = 262144;
	n = mh_encode(&m, buf, sizeof(buf));
	assert_int_equal(mh_decode(buf, (size_t)n, &back, &where), MH_OK);
	assert_int_equal(back.ba.lifetime_s, 262140);
	assert_int_equal(back.o.refresh_s, 262140);
}

static void encode_refuses_a_small_buffer_at_every_size(void **state)
{
	struct mh_msg m = mh_blank(MH_BU);
	uint8_t buf[MH_MAX_SIZE];
	int n;

	(void)state;
	m.o.alt_coa = A(COA);
	m.o.n_mnp = MH_MAX_MNP;
	n = mh_encode(&m, buf, sizeof(buf));
	assert_int_equal(n, 32 + 24 * MH_MAX_MNP);
	for (int i = 0; i < n; i++)
		assert_int_equal(mh_encode(&m, buf, (size_t)i), -EMSGSIZE);
	assert_int_equal(mh_encode(&m, buf, (size_t)n), n);
}

/* --- round trip of random messages --- */

static uint32_t rnd(uint32_t n)
{
	return (uint32_t)random() % n;
}

static void rnd_bytes(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)rnd(256);
}

static void rnd_auth(struct mh_opts *o)
{
	if (rnd(2))
		return;
	o->auth_size = (uint8_t)(1 + rnd(MH_MAX_AUTH));
	rnd_bytes(o->auth, o->auth_size);
}

static void rnd_mac(struct mh_opts *o)
{
	o->id_size = (uint8_t)(rnd(2) ? 0 : rnd(MH_MAX_ID + 1));
	rnd_bytes(o->id, o->id_size);
	o->has_stamp = rnd(2);
	if (o->has_stamp)
		rnd_bytes(&o->stamp, 8);
	if (o->auth_size > 0 || rnd(2))
		return;
	o->mac.subtype = (uint8_t)rnd(3);
	o->mac.spi = rnd(1000);
	o->mac.size = (uint8_t)(1 + rnd(MH_MAX_MAC));
	rnd_bytes(o->mac.data, o->mac.size);
}

static void rnd_bu(struct mh_msg *m)
{
	m->bu.seq = (uint16_t)rnd(65536);
	m->bu.flags = (uint16_t)rnd(65536);
	m->bu.lifetime_s = 4 * rnd(65536);
	if (rnd(2))
		rnd_bytes(&m->o.alt_coa, 16);
	m->o.has_nonce = rnd(2);
	if (m->o.has_nonce) {
		m->o.home_nonce = (uint16_t)rnd(65536);
		m->o.careof_nonce = (uint16_t)rnd(65536);
	}
	m->o.n_mnp = rnd(2) ? 0 : rnd(MH_MAX_MNP + 1);
	for (unsigned i = 0; i < m->o.n_mnp; i++) {
		rnd_bytes(&m->o.mnp[i].addr, 16);
		m->o.mnp[i].len = (uint8_t)rnd(129);
	}
	rnd_auth(&m->o);
	rnd_mac(&m->o);
}

static struct mh_msg rnd_msg(void)
{
	static const uint8_t types[] = {MH_BRR, MH_HOTI, MH_COTI, MH_HOT, MH_COT, MH_BU, MH_BA,
		MH_BE, MH_HAS, MH_HB, MH_BR};
	struct mh_msg m = mh_blank(types[rnd(N_OF(types))]);

	switch ((enum mh_type)m.type) {
	case MH_BRR: break;
	case MH_HOT:
	case MH_COT:
		m.test.nonce = (uint16_t)rnd(65536);
		rnd_bytes(m.test.token, 8);
		rnd_bytes(m.test.cookie, 8);
		break;
	case MH_HOTI:
	case MH_COTI: rnd_bytes(m.test.cookie, 8); break;
	case MH_BU: rnd_bu(&m); break;
	case MH_BA:
		m.ba.status = (uint8_t)rnd(256);
		m.ba.flags = (uint8_t)rnd(256);
		m.ba.seq = (uint16_t)rnd(65536);
		m.ba.lifetime_s = 4 * rnd(65536);
		m.o.refresh_s = rnd(2) ? 0 : 4 * rnd(65536);
		rnd_auth(&m.o);
		rnd_mac(&m.o);
		break;
	case MH_BE:
		m.be.status = (uint8_t)rnd(256);
		rnd_bytes(&m.be.hoa, 16);
		break;
	case MH_HAS:
		m.has.n = rnd(MH_MAX_HAS + 1);
		rnd_bytes(m.has.ha, 16 * m.has.n);
		m.o.refresh_s = rnd(2) ? 0 : 4 * rnd(65536);
		break;
	case MH_HB:
		m.hb = (struct mh_hb){rnd(2), rnd(2), rnd(UINT32_MAX)};
		m.o.has_restart = rnd(2);
		m.o.restart = m.o.has_restart ? rnd(UINT32_MAX) : 0;
		break;
	case MH_BR:
		m.br = (struct mh_br){(uint8_t)rnd(256), (uint8_t)rnd(256), (uint16_t)rnd(65536),
			(uint16_t)(rnd(8) << 13)};
		m.o.has_ipv4_hoa = rnd(2);
		if (m.o.has_ipv4_hoa)
			rnd_bytes(m.o.ipv4_hoa, 4);
		break;
	}
	return m;
}

/* Options stand where s6.2 wants them, padding is Pad1 or PadN of zeroes, nothing follows the
 * authenticator, all ends with Header Len. */
static void check_layout(const uint8_t *p, size_t size)
{
	static const struct {
		uint8_t x, y;
	} align[] = {[2] = {2, 0},
		[3] = {8, 6},
		[4] = {2, 0},
		[5] = {1, 0},
		[6] = {8, 4},
		[8] = {1, 0},
		[9] = {1, 0},
		[10] = {8, 2},
		[28] = {4, 2},
		[29] = {4, 0}};
	static const uint8_t fixed[] = {
		8, 16, 16, 24, 24, 12, 12, 24, [MH_HAS] = 8, [MH_HB] = 12, [MH_BR] = 12};
	size_t i = fixed[p[2]] + (p[2] == MH_HAS ? 16u * p[6] : 0);

	assert_int_equal(size, (p[1] + 1u) * 8);
	while (i < size) {
		if (p[i] == 0) {
			i++;
			continue;
		}
		assert_true(i + 2 <= size && i + 2 + p[i + 1] <= size);
		assert_true(p[i] < N_OF(align));
		if (p[i] == 1) {
			for (unsigned k = 0; k < p[i + 1]; k++)
				assert_int_equal(p[i + 2 + k], 0);
		} else {
			assert_int_equal(i % align[p[i]].x, align[p[i]].y);
		}
		if (p[i] == 5 || p[i] == 9)
			assert_int_equal(i + 2 + p[i + 1], size);
		i += 2u + p[i + 1];
	}
	assert_int_equal(i, size);
}

static void decode_of_encode_gives_the_message_back(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned i = 0; i < 20000; i++) {
		struct mh_msg m = rnd_msg(), back;
		uint8_t buf[MH_MAX_SIZE];
		unsigned where;
		int n = mh_encode(&m, buf, sizeof(buf));

		assert_in_range(n, 8, MH_MAX_SIZE);
		check_layout(buf, (size_t)n);
		assert_int_equal(mh_decode(buf, (size_t)n, &back, &where), MH_OK);
		assert_memory_equal(&back, &m, sizeof(m));
	}
}

static void packets_come_back_with_their_addresses(void **state)
{
	(void)state;
	srandom(2);
	for (unsigned i = 0; i < 5000; i++) {
		struct mh_env e = {.src = A(COA), .dst = A(HA), .m = rnd_msg()}, back;
		uint8_t buf[IP6_SIG_MAX];
		enum ip6_verdict chain;
		unsigned where;
		int n;

		if (rnd(2)) {
			e.hoa = A(HOA);
			e.rh2 = e.m.type == MH_BA || rnd(2);
		}
		memset(&back, 0, sizeof(back));
		n = mh_encode_packet(&e, buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(mh_decode_packet(buf, (size_t)n, &back, &chain, &where), MH_OK);
		assert_int_equal(chain, IP6_OK);
		assert_memory_equal(&back, &e, sizeof(e));
		if (n <= 500) {
			int bad = mh_encode_packet(&e, buf, (size_t)n - 1);
			assert_int_equal(bad, -EMSGSIZE);
		}
	}
}

static void acknowledgement_goes_by_routing_header_others_by_home_address(void **state)
{
	struct mh_env e = {.src = A(HA), .dst = A(COA), .hoa = A(HOA), .m = mh_blank(MH_BA)};
	struct in6_addr hoa = A(HOA);
	uint8_t buf[IP6_SIG_MAX];
	struct ip6_pkt p;
	int n = mh_encode_packet(&e, buf, sizeof(buf));

	(void)state;
	assert_int_equal(n, 40 + 24 + 16);
	assert_int_equal(ip6_decode(buf, (size_t)n, &p), IP6_OK);
	assert_true(p.has_rh2 && !p.has_hao);
	assert_int_equal(p.hop_limit, 64);
	assert_int_equal(ip6_csum(&e.src, &hoa, IP6_PROTO_MH, p.payload, p.payload_size), 0);
	e.m.type = MH_BU;
	n = mh_encode_packet(&e, buf, sizeof(buf));
	assert_int_equal(ip6_decode(buf, (size_t)n, &p), IP6_OK);
	assert_true(!p.has_rh2 && p.has_hao);
	assert_int_equal(ip6_csum(&hoa, &e.dst, IP6_PROTO_MH, p.payload, p.payload_size), 0);
	e.hoa = in6addr_any;
	n = mh_encode_packet(&e, buf, sizeof(buf));
	assert_int_equal(ip6_decode(buf, (size_t)n, &p), IP6_OK);
	assert_true(!p.has_rh2 && !p.has_hao);
	assert_int_equal(ip6_csum(&e.src, &e.dst, IP6_PROTO_MH, p.payload, p.payload_size), 0);
}

static void statuses_have_texts(void **state)
{
	(void)state;
	assert_string_equal(mh_status_str(0), "accepted");
	assert_string_equal(mh_status_str(135), "sequence number out of window");
	assert_string_equal(mh_status_str(143), "forwarding setup failed (prefixes missing)");
	assert_string_equal(mh_status_str(2), "unknown status");
	assert_string_equal(mh_status_str(1000), "unknown status");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_without_options),
		cmocka_unit_test(binding_updates),
		cmocka_unit_test(binding_update_to_a_correspondent),
		cmocka_unit_test(binding_acknowledgements),
		cmocka_unit_test(home_agent_switches),
		cmocka_unit_test(heartbeats),
		cmocka_unit_test(binding_revocations),
		cmocka_unit_test(reserved_bits_of_control_messages_are_ignored),
		cmocka_unit_test(reserved_fields_and_padding_are_ignored),
		cmocka_unit_test(authentication_options),
		cmocka_unit_test(authentication_option_out_of_place),
		cmocka_unit_test(lifetimes_are_rounded_down_and_clamped),
		cmocka_unit_test(encode_refuses_a_small_buffer_at_every_size),
		cmocka_unit_test(decode_of_encode_gives_the_message_back),
		cmocka_unit_test(packets_come_back_with_their_addresses),
		cmocka_unit_test(acknowledgement_goes_by_routing_header_others_by_home_address),
		cmocka_unit_test(statuses_have_texts),
	};

	return cmocka_run_group_tests_name("mh", tests, NULL, NULL);
}
