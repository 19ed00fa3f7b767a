/* test_esp.c - ESP against packets that were computed in Python and opened by scapy (RFC 4303,
 * 4106, 3602, 4868), and the replay window (RFC 4303 s3.4.3; HOSTILE input 8). */
#include "common/sec/esp.h"
#include <errno.h>
#include "common/wire/t/packet.h"

static const char BU[] = "3b0305006dec0001c400000f0100031020010db8000a00000000000000000010";

static struct esp_sa in, out;
static uint8_t iv[ESP_IV_MAX];

static void fill(uint8_t *p, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(first + i);
}

static void use(enum esp_cipher cipher, unsigned size)
{
	memset(&out, 0, sizeof(out));
	out.spi = 0x101;
	out.cipher = cipher;
	out.enc_size = size;
	out.replay = true;
	fill(out.enc, size, cipher == ESP_GCM ? 0x20 : 0x60);
	fill(out.salt, 4, 0x30);
	fill(out.mac, 32, 0x40);
	fill(iv, sizeof(iv), 0xa0);
	in = out;
}

static void is_made_and_opened(const char *want_hex)
{
	uint8_t want[256], got[256], plain[256], bu[64];
	size_t n = unhex(want_hex, want, sizeof(want)), size;
	size_t bu_size = unhex(BU, bu, sizeof(bu));
	uint8_t proto;

	assert_int_equal(esp_seal(&out, iv, 135, bu, bu_size, got, sizeof(got)), n);
	assert_memory_equal(got, want, n);
	assert_int_equal(esp_open(&in, want, n, plain, &size, &proto), ESP_OK);
	assert_int_equal(proto, 135);
	assert_int_equal(size, bu_size);
	assert_memory_equal(plain, bu, size);
}

static void packets_made_elsewhere(void **state)
{
	(void)state;
	use(ESP_GCM, 16);
	memset(iv, 0, sizeof(iv));
	is_made_and_opened("00000101 00000001 0000000000000001 "
			   "3f0984c648568cfbd4bbe7958c390cfcfa7be5db1e8ff62a"
			   "2206f6124adf86de494b337cae847cad31c9a58222beed4eb7e067fe");
	use(ESP_NULL, 0);
	is_made_and_opened("00000101 00000001 3b0305006dec0001c400000f0100031020010db8000a0000"
			   "0000000000000010 01020287 ffac29ec88a65f7fd816c0dda760c11b");
	use(ESP_CBC, 16);
	is_made_and_opened("00000101 00000001 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf fca11ca9172849b1"
			   "a7092352da1b6e4e7d0c0790cc9eaf95dcfc8c04e5d5fdb754903318dca61c59"
			   "8d6b870e1587253a 9ba02d37fe183bf848af9caefa73d0c9");
}

/* What a kernel may send as well: longer keys; every size of payload comes back. */
static void every_size_with_every_cipher(void **state)
{
	static const struct {
		enum esp_cipher cipher;
		unsigned size;
	} all[] = {{ESP_NULL, 0}, {ESP_CBC, 16}, {ESP_CBC, 24}, {ESP_CBC, 32}, {ESP_GCM, 16},
		{ESP_GCM, 24}, {ESP_GCM, 32}};
	uint8_t text[300], back[400], proto;
	size_t size;

	(void)state;
	fill(text, sizeof(text), 7);
	for (unsigned c = 0; c < N_OF(all); c++) {
		use(all[c].cipher, all[c].size);
		for (unsigned n = 0; n < sizeof(text); n++) {
			uint8_t *esp = malloc(n + ESP_OVERHEAD), *room;
			int k = esp_seal(&out, iv, 58, text, n, esp, n + ESP_OVERHEAD);

			assert_true(k > (int)n && k <= (int)n + ESP_OVERHEAD && k % 4 == 0);
			room = exact(esp, (size_t)k);
			assert_int_equal(
				esp_open(&in, room, (size_t)k, back, &size, &proto), ESP_OK);
			assert_int_equal(size, n);
			assert_int_equal(proto, 58);
			assert_memory_equal(back, text, n);
			free(room);
			free(esp);
		}
	}
}

static size_t make(uint8_t *esp, size_t room)
{
	uint8_t bu[64];
	int n = esp_seal(&out, iv, 135, bu, unhex(BU, bu, sizeof(bu)), esp, room);

	assert_true(n > 0);
	return (size_t)n;
}

static void every_bent_octet_and_every_cut(void **state)
{
	uint8_t esp[128], plain[128], proto;
	struct esp_sa before;
	size_t n, size;

	(void)state;
	for (unsigned c = ESP_NULL; c <= ESP_GCM; c++) {
		use((enum esp_cipher)c, c == ESP_NULL ? 0 : 16);
		n = make(esp, sizeof(esp));
		before = in;
		for (size_t i = 0; i < n; i++) {
			uint8_t *cut = exact(esp, i);

			assert_int_not_equal(esp_open(&in, cut, i, plain, &size, &proto), ESP_OK);
			free(cut);
			esp[i] ^= 1;
			assert_int_not_equal(esp_open(&in, esp, n, plain, &size, &proto), ESP_OK);
			esp[i] ^= 1;
		}
		/* Not even the number 2^32 - 1 has moved the window. */
		memset(esp + 4, 0xff, 4);
		assert_int_equal(esp_open(&in, esp, n, plain, &size, &proto), ESP_ICV);
		assert_memory_equal(&in, &before, sizeof(in));
	}
}

static enum esp_verdict number(uint32_t seq)
{
	uint8_t esp[128], plain[128], proto;
	size_t size, n;

	out.seq = seq ? seq - 1 : 0;
	n = make(esp, sizeof(esp));
	if (seq == 0)
		memset(esp + 4, 0, 4);
	return esp_open(&in, esp, n, plain, &size, &proto);
}

static void numbers_are_taken_once(void **state)
{
	(void)state;
	use(ESP_GCM, 16);
	assert_int_equal(number(0), ESP_REPLAY); /* not even the first time */
	assert_int_equal(number(5), ESP_OK);
	assert_int_equal(number(5), ESP_REPLAY);
	assert_int_equal(number(1), ESP_OK);
	assert_int_equal(number(1), ESP_REPLAY);
	assert_int_equal(number(100), ESP_OK);
	assert_int_equal(number(100 - 63), ESP_OK);
	assert_int_equal(number(100 - 64), ESP_REPLAY); /* too old to know */
	assert_int_equal(number(163), ESP_OK);
	assert_int_equal(number(100), ESP_REPLAY);
	assert_int_equal(number(101), ESP_OK);
	assert_int_equal(number(UINT32_MAX), ESP_OK);
	assert_int_equal(number(UINT32_MAX), ESP_REPLAY);
	assert_int_equal(number(164), ESP_REPLAY);
}

static void without_a_window_all_numbers_are_taken(void **state)
{
	(void)state;
	use(ESP_NULL, 0);
	in.replay = false;
	assert_int_equal(number(5), ESP_OK);
	assert_int_equal(number(5), ESP_OK);
	assert_int_equal(number(1), ESP_OK);
}

/* RFC 4303 s3.3.3: the number never cycles. */
static void the_last_number_is_the_end(void **state)
{
	uint8_t esp[128], bu[64] = {0};

	(void)state;
	use(ESP_GCM, 32);
	out.seq = UINT32_MAX - 1;
	assert_true(esp_seal(&out, iv, 135, bu, 8, esp, sizeof(esp)) > 0);
	assert_int_equal(esp_seal(&out, iv, 135, bu, 8, esp, sizeof(esp)), -EOVERFLOW);
	use(ESP_GCM, 32);
	assert_int_equal(esp_seal(&out, iv, 135, bu, 8, esp, 43), -EMSGSIZE);
	assert_int_equal(out.seq, 0);
}

static void dummies_and_wrong_padding(void **state)
{
	uint8_t esp[128], plain[128], proto, text[64] = {0};
	size_t size;
	int n;

	(void)state;
	use(ESP_GCM, 16);
	n = esp_seal(&out, iv, 59, text, 20, esp, sizeof(esp));
	assert_int_equal(esp_open(&in, esp, (size_t)n, plain, &size, &proto), ESP_DUMMY);
	/* Authentic (by Python's hmac): padding of other octets, and more of it than there is. */
	use(ESP_NULL, 0);
	n = (int)unhex("00000101 00000001 00000000 09090287 5624422ed4450c1f32b649fc0f334550", esp,
		sizeof(esp));
	assert_int_equal(esp_open(&in, esp, (size_t)n, plain, &size, &proto), ESP_PADDING);
	n = (int)unhex("00000101 00000002 00000000 0102c887 0de8aefe590badf07afeba768171b707", esp,
		sizeof(esp));
	assert_int_equal(esp_open(&in, esp, (size_t)n, plain, &size, &proto), ESP_PADDING);
	assert_int_equal(esp_open(&in, esp, 8 + 2 + 16 - 1, plain, &size, &proto), ESP_SHORT);
}

static void another_spi_and_a_later_key(void **state)
{
	uint8_t esp[128], plain[128], proto;
	size_t size, n;

	(void)state;
	use(ESP_GCM, 16);
	n = make(esp, sizeof(esp));
	in.spi++;
	assert_int_equal(esp_open(&in, esp, n, plain, &size, &proto), ESP_SPI);
	in.spi--;
	in.enc[15] ^= 1;
	assert_int_equal(esp_open(&in, esp, n, plain, &size, &proto), ESP_ICV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_made_elsewhere),
		cmocka_unit_test(every_size_with_every_cipher),
		cmocka_unit_test(every_bent_octet_and_every_cut),
		cmocka_unit_test(numbers_are_taken_once),
		cmocka_unit_test(without_a_window_all_numbers_are_taken),
		cmocka_unit_test(the_last_number_is_the_end),
		cmocka_unit_test(dummies_and_wrong_padding),
		cmocka_unit_test(another_spi_and_a_later_key),
	};

	return cmocka_run_group_tests_name("esp", tests, NULL, NULL);
}
