/* fuzz_keying.c - any octets to a home agent's key exchange: in place of TLS, or as a router with
 * the right secret may send them after its handshake, in pieces.  Keys come of a good hello and of
 * nothing else, and no connection is left.
 *
 * First octet: 1 = in place of TLS, 2 = payload = "esp" there; then pieces, each after its size. */
#include <assert.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/os/keying_state.h"
#include "common/os/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	sd_event *event;
	struct keying *k;
	struct keys keys;
	SSL_CTX *ctx;
	struct in6_addr hoa;
	struct sockaddr_in6 at;
	unsigned n_keys;
} self;

static void on_keys(void *arg, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct esp_sa *in, const struct esp_sa *out, const struct payload_secret *payload)
{
	(void)arg, (void)ha, (void)payload;
	assert(memcmp(hoa, &self.hoa, sizeof(*hoa)) == 0);
	assert(in->spi >= ESP_MIN_SPI && out->spi >= ESP_MIN_SPI);
	self.n_keys++;
}

static int use_session(
	SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *size, SSL_SESSION **out)
{
	static const uint8_t suite[] = {0x13, 0x02}; /* TLS_AES_256_GCM_SHA384 */
	SSL_SESSION *s = SSL_SESSION_new();

	(void)md;
	assert(SSL_SESSION_set1_master_key(s, self.keys.psk.secret, self.keys.psk.size) == 1);
	assert(SSL_SESSION_set_cipher(s, SSL_CIPHER_find(ssl, suite)) == 1);
	assert(SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1);
	*id = (const unsigned char *)self.keys.psk.id;
	*size = strlen(self.keys.psk.id);
	*out = s;
	return 1;
}

static void set_up(void)
{
	struct in6_addr any_host = IN6ADDR_LOOPBACK_INIT;
	socklen_t size = sizeof(self.at);

	log_init("fuzz_keying", LOG_ERR);
	signal(SIGPIPE, SIG_IGN);
	memcpy(self.keys.psk.id, "blue", 4);
	self.keys.psk.size = 32;
	self.hoa.s6_addr[0] = 0x20;
	assert(sd_event_new(&self.event) >= 0);
	assert(keying_open(&self.k, self.event, &any_host, 0, on_keys, NULL) == 0);
	assert(keying_add(self.k, &self.keys, &self.hoa) == 0);
	assert(getsockname(self.k->fd, (struct sockaddr *)&self.at, &size) == 0);
	self.ctx = SSL_CTX_new(TLS_client_method());
	assert(SSL_CTX_set_ciphersuites(self.ctx, "TLS_AES_256_GCM_SHA384") == 1);
	SSL_CTX_set_psk_use_session_callback(self.ctx, use_session);
}

static void turn(void)
{
	while (sd_event_run(self.event, 0) > 0)
		;
}

static int dial(void)
{
	struct linger none = {.l_onoff = 1}; /* no port is left waiting */
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	assert(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0); /* no waiting */
	assert(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == 0);
	assert(connect(fd, (struct sockaddr *)&self.at, sizeof(self.at)) == 0);
	assert(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	turn();
	return fd;
}

static SSL *shake(int fd)
{
	SSL *ssl = SSL_new(self.ctx);

	assert(ssl && SSL_set_fd(ssl, fd) == 1);
	for (unsigned i = 0; SSL_connect(ssl) != 1; i++) {
		assert(i < 10);
		turn();
	}
	turn();
	return ssl;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_good(const uint8_t *hello, size_t size)
{
	static const uint8_t kernels = PAYLOAD_SPI >> 24;
	bool reserved = !(hello[4] | hello[5] | hello[6]) || hello[4] & kernels;

	return size >= HELLO_SIZE && hello[0] == 1 && !(hello[1] & 1) == !self.k->payload &&
	       !reserved && memcmp(hello + 8, &self.hoa, sizeof(self.hoa)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	uint8_t hello[HELLO_SIZE] = {0};
	size_t n = 0, piece;
	unsigned had;
	SSL *ssl;
	int fd;

	if (!self.k)
		set_up();
	if (!size)
		return 0;
	had = self.n_keys;
	self.k->payload = *data & 2;
	fd = dial();
	ssl = *data & 1 ? NULL : shake(fd);
	for (data++; data < end; data += piece) {
		piece = least(*data, (size_t)(end - data - 1));
		data++;
		if (!piece)
			continue;
		if (ssl && SSL_write(ssl, data, (int)piece) != (int)piece)
			break; /* it has hung up */
		if (!ssl && send(fd, data, piece, MSG_NOSIGNAL) != (ssize_t)piece)
			break;
		memcpy(hello + n, data, least(piece, HELLO_SIZE - n));
		n += least(piece, HELLO_SIZE - n);
		turn();
	}
	assert(self.n_keys - had == (ssl && is_good(hello, n)));
	SSL_free(ssl);
	close(fd);
	turn();
	assert(!self.k->conns && self.k->n_conns == 0);
	return 0;
}
