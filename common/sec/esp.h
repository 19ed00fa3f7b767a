/* esp.h - Encapsulating Security Payload, transport mode, one packet at a time (RFC 4303), with
 * HMAC-SHA-256-128 over NULL or AES-CBC (RFC 4868, 3602), or AES-GCM (RFC 4106).  32-bit sequence
 * numbers.  Pure: random numbers come in. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESP_MIN_SPI  256
#define ESP_WINDOW   64 /* numbers; RFC 4303 s3.4.3 */
#define ESP_OVERHEAD 64 /* octets that a packet grows by, at most */
#define ESP_IV_MAX   16

enum esp_cipher { ESP_NULL, ESP_CBC, ESP_GCM };

struct esp_sa { /* one direction */
	uint32_t spi;
	enum esp_cipher cipher;
	unsigned enc_size; /* octets: 16, 24 or 32; NULL: 0 */
	uint8_t enc[32];
	uint8_t salt[4]; /* GCM */
	uint8_t mac[32]; /* NULL, CBC */
	bool replay;     /* receiving: numbers are checked */
	uint32_t seq;    /* sending: the last one used; receiving: the highest that was authentic */
	uint64_t seen;   /* receiving: bit i = seq - i came */
};

enum esp_verdict { /* of a received packet, in the order of the checks (s3.4) */
	ESP_OK,
	ESP_SHORT,   /* too short, or no whole blocks */
	ESP_SPI,     /* not this association's */
	ESP_REPLAY,  /* number seen before, or too old to know */
	ESP_ICV,     /* not authentic */
	ESP_PADDING, /* authentic, but its padding is wrong */
	ESP_DUMMY,   /* s2.6: to be discarded without an error */
};

/* Protects 'size' octets of protocol 'proto' as ESP in 'out', 'iv' being random octets.
 * Returns octets written, at most size + ESP_OVERHEAD; -EMSGSIZE, -EIO (OpenSSL), or -EOVERFLOW: no
 * number is left. */
int esp_seal(struct esp_sa *, const uint8_t iv[ESP_IV_MAX], uint8_t proto, const void *in,
	size_t size, void *out, size_t room);
/* Opens the ESP packet 'esp' of 'size' octets into 'out', which has as much room.  Nothing changes
 * unless it is authentic. */
enum esp_verdict esp_open(
	struct esp_sa *, const void *esp, size_t size, void *out, size_t *out_size, uint8_t *proto);
