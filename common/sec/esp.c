/* esp.c - ESP packets: encryption, integrity, padding, replay window. */
#include "common/sec/esp.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include "common/core/rd.h"

#define HDR_SIZE   8 /* SPI, Sequence Number */
#define ICV_SIZE   16
#define TRAILER    2 /* Pad Length, Next Header */
#define PROTO_NONE 59
#define GCM_IV     8
#define CBC_BLOCK  16

static size_t iv_size(const struct esp_sa *sa)
{
	static const size_t sizes[] = {[ESP_NULL] = 0, [ESP_CBC] = CBC_BLOCK, [ESP_GCM] = GCM_IV};

	return sizes[sa->cipher];
}

/* Fetched once: EVP_aes_256_gcm() and the like are looked up anew with each use, which costs more
 * than a message's encryption. */
static const EVP_CIPHER *cipher(const struct esp_sa *sa)
{
	static const char *const names[2][3] = {
		{"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"},
		{"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"},
	};
	static EVP_CIPHER *fetched[2][3]; /* kept */
	unsigned gcm = sa->cipher == ESP_GCM, i = (unsigned)(sa->enc_size - 16) / 8;

	if (!fetched[gcm][i])
		fetched[gcm][i] = EVP_CIPHER_fetch(NULL, names[gcm][i], NULL);
	return fetched[gcm][i];
}

/* GCM: salt and IV (RFC 4106 s4); CBC: the IV. */
static void make_nonce(const struct esp_sa *sa, const uint8_t *iv, uint8_t nonce[CBC_BLOCK])
{
	size_t salt = sa->cipher == ESP_GCM ? sizeof(sa->salt) : 0;

	memcpy(nonce, sa->salt, salt);
	memcpy(nonce + salt, iv, iv_size(sa));
}

/* 'text' (size octets) is encrypted or decrypted in place; with GCM 'icv' is made or verified. */
static bool transform(const struct esp_sa *sa, bool encrypt, const uint8_t *hdr, uint8_t *text,
	size_t size, uint8_t icv[ICV_SIZE])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool gcm = sa->cipher == ESP_GCM, ok;
	uint8_t nonce[CBC_BLOCK];
	int n, last;

	make_nonce(sa, hdr + HDR_SIZE, nonce);
	ok = ctx && EVP_CipherInit_ex(ctx, cipher(sa), NULL, sa->enc, nonce, encrypt) == 1 &&
	     EVP_CIPHER_CTX_set_padding(ctx, 0) == 1;
	if (gcm && !encrypt)
		ok = ok && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, ICV_SIZE, icv) == 1;
	if (gcm) /* AAD: SPI and number */
		ok = ok && EVP_CipherUpdate(ctx, NULL, &n, hdr, HDR_SIZE) == 1;
	ok = ok && EVP_CipherUpdate(ctx, text, &n, text, (int)size) == 1 &&
	     EVP_CipherFinal_ex(ctx, text + n, &last) == 1 && (size_t)(n + last) == size;
	if (gcm && encrypt)
		ok = ok && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, ICV_SIZE, icv) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

static bool hmac(const struct esp_sa *sa, const uint8_t *esp, size_t size, uint8_t icv[ICV_SIZE])
{
	uint8_t full[EVP_MAX_MD_SIZE];
	unsigned n;

	if (!HMAC(EVP_sha256(), sa->mac, sizeof(sa->mac), esp, size, full, &n))
		return false;
	memcpy(icv, full, ICV_SIZE);
	return true;
}

int esp_seal(struct esp_sa *sa, const uint8_t iv[ESP_IV_MAX], uint8_t proto, const void *in,
	size_t size, void *out, size_t room)
{
	size_t block = sa->cipher == ESP_CBC ? CBC_BLOCK : 4;
	size_t pad = (block - (size + TRAILER) % block) % block, text = size + pad + TRAILER;
	struct wr w = wr_init(out, room);
	uint8_t *start = out, *icv;
	bool ok;

	if (sa->seq == UINT32_MAX)
		return -EOVERFLOW;
	wr_u32(&w, sa->spi);
	wr_u32(&w, sa->seq + 1);
	if (sa->cipher == ESP_GCM) {
		/* The number makes it unique (RFC 4106 s3.1), the random half also in a clone of
		 * this machine that goes on with the same key. */
		wr_bytes(&w, iv, 4);
		wr_u32(&w, sa->seq + 1);
	} else {
		wr_bytes(&w, iv, iv_size(sa));
	}
	wr_bytes(&w, in, size);
	for (size_t i = 1; i <= pad; i++)
		wr_u8(&w, (uint8_t)i);
	wr_u8(&w, (uint8_t)pad);
	wr_u8(&w, proto);
	icv = w.p;
	wr_zero(&w, ICV_SIZE);
	if (!wr_ok(&w))
		return -EMSGSIZE;
	sa->seq++; /* spent, whatever comes now */
	ok = sa->cipher == ESP_NULL ||
	     transform(sa, true, start, start + HDR_SIZE + iv_size(sa), text, icv);
	if (sa->cipher != ESP_GCM)
		ok = ok && hmac(sa, start, (size_t)(icv - start), icv);
	return ok ? (int)wr_off(&w) : -EIO;
}

static bool number_is_new(const struct esp_sa *sa, uint32_t seq)
{
	uint32_t age = sa->seq - seq;

	if (!sa->replay)
		return true;
	if (seq == 0) /* the first one is 1, and there is no second round */
		return false;
	return seq > sa->seq || (age < ESP_WINDOW && !(sa->seen >> age & 1));
}

static void number_take(struct esp_sa *sa, uint32_t seq)
{
	uint32_t ahead = seq - sa->seq;

	if (seq > sa->seq) {
		sa->seen = ahead < ESP_WINDOW ? sa->seen << ahead | 1 : 1;
		sa->seq = seq;
	} else if (sa->seq - seq < ESP_WINDOW) {
		sa->seen |= (uint64_t)1 << (sa->seq - seq);
	}
}

static bool padding_is_right(const uint8_t *text, size_t size)
{
	size_t pad = text[size - TRAILER];

	if (pad + TRAILER > size)
		return false;
	for (size_t i = 1; i <= pad; i++)
		if (text[size - TRAILER - pad + i - 1] != i)
			return false;
	return true;
}

enum esp_verdict esp_open(struct esp_sa *sa, const void *esp, size_t size, void *out,
	size_t *out_size, uint8_t *proto)
{
	struct rd r = rd_init(esp, size);
	size_t before = HDR_SIZE + iv_size(sa), text;
	uint8_t icv[ICV_SIZE], *p = out;
	uint32_t spi = rd_u32(&r), seq = rd_u32(&r);
	bool ok = true;

	if (size < before + TRAILER + ICV_SIZE)
		return ESP_SHORT;
	text = size - before - ICV_SIZE;
	if (sa->cipher == ESP_CBC && text % CBC_BLOCK != 0)
		return ESP_SHORT;
	if (spi != sa->spi)
		return ESP_SPI;
	if (!number_is_new(sa, seq))
		return ESP_REPLAY;
	memcpy(p, (const uint8_t *)esp + before, text);
	if (sa->cipher == ESP_GCM) {
		memcpy(icv, (const uint8_t *)esp + size - ICV_SIZE, ICV_SIZE);
		ok = transform(sa, false, esp, p, text, icv);
	} else {
		ok = hmac(sa, esp, size - ICV_SIZE, icv) &&
		     CRYPTO_memcmp(icv, (const uint8_t *)esp + size - ICV_SIZE, ICV_SIZE) == 0;
		if (ok && sa->cipher == ESP_CBC)
			ok = transform(sa, false, esp, p, text, icv);
	}
	if (!ok)
		return ESP_ICV;
	number_take(sa, seq);
	if (p[text - 1] == PROTO_NONE)
		return ESP_DUMMY;
	if (!padding_is_right(p, text))
		return ESP_PADDING;
	*proto = p[text - 1];
	*out_size = text - TRAILER - p[text - TRAILER];
	return ESP_OK;
}
