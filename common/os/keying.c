/* keying.c - TLS connections that live for one exchange, driven by the event loop. */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>
#include "common/core/rd.h"
#include "common/os/daemon.h"
#include "common/os/keying_state.h"
#include "common/os/log.h"

#define LABEL        "EXPORTER-nemo-signalling"
#define LABEL_DATA   "EXPORTER-nemo-payload"
#define VERSION      1
#define FLAG_PAYLOAD 1
#define KEY_SIZE     36 /* AES-256 key and salt */
#define MAX_CONNS    128
#define BEHIND       10 /* sd-event priority of a server's connections: signalling goes first, */
#define LAST         11 /* and new ones come last */
#define TIMEOUT_US   5000000
#define ACCEPT_US    50000 /* in which ACCEPT_MAX connections are taken at most */
#define ACCEPT_MAX   250
#define WAIT_MIN_MS  500 /* between two tries of a router, doubling */
#define WAIT_MAX_MS  16000
#define QUIET_MS     10000 /* between two complaints in the log */

static void conn_free(struct conn *c)
{
	DL_DELETE(c->k->conns, c);
	c->k->n_conns--;
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	OPENSSL_clear_free(c, sizeof(*c));
}

/* Says why there are no keys, by OpenSSL's record or errno (0: neither knows); once in a while
 * only, as the other end may be anybody. */
static void complain(struct conn *c, enum keying_counter why)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error()), *certificate;
	uint64_t now = daemon_now();
	char s[INET6_ADDRSTRLEN], text[REASON];
	int e = errno;

	ERR_clear_error();
	if (now < c->k->quiet_until)
		return;
	c->k->quiet_until = now + QUIET_MS;
	certificate = keying_reason(c, why, text);
	if (certificate)
		reason = certificate;
	else if (why == KEY_C_key_home_address)
		reason = "the identity is not this home address's";
	else if (why == KEY_C_key_payload)
		reason = "payload is not the same at both ends";
	else if (!reason)
		reason = e ? strerror(e) : "cut off";
	if (c->k->server)
		log_warn("keys: exchange with a router has failed: %s", reason);
	else
		log_warn("keys: exchange with home agent %s, TCP port %u, has failed: %s",
			addr6_str(&c->ha, s), c->k->port, reason);
}

static void fail(struct conn *c, enum keying_counter why)
{
	c->k->counters[why]++;
	complain(c, why);
	conn_free(c);
}

/* --- the exchange --- */

/* At random, but a home agent's for another router each time: they tell the kernel's apart. */
static uint32_t choose_spi(struct keying *k)
{
	uint32_t spi = k->last_spi + 1;

	if (!k->server || !k->last_spi)
		if (RAND_bytes((uint8_t *)&spi, sizeof(spi)) != 1)
			abort();
	spi &= ~PAYLOAD_SPI;
	if (spi < ESP_MIN_SPI)
		spi += ESP_MIN_SPI;
	k->last_spi = spi;
	return spi;
}

static void make_hello(struct conn *c)
{
	struct wr w = wr_init(c->out, sizeof(c->out));

	c->spi_in = choose_spi(c->k);
	wr_u8(&w, VERSION);
	wr_u8(&w, c->k->payload ? FLAG_PAYLOAD : 0);
	wr_zero(&w, 2);
	wr_u32(&w, c->spi_in);
	wr_addr6(&w, &c->hoa);
}

static void make_sa(struct esp_sa *sa, uint32_t spi, const uint8_t key[KEY_SIZE])
{
	memset(sa, 0, sizeof(*sa));
	sa->spi = spi;
	sa->cipher = ESP_GCM;
	sa->enc_size = 32;
	sa->replay = true;
	memcpy(sa->enc, key, 32);
	memcpy(sa->salt, key + 32, 4);
}

static bool export(
	struct conn *c, const char *label, const uint8_t context[40], void *out, size_t size)
{
	return SSL_export_keying_material(
		       c->ssl, out, size, label, strlen(label), context, 40, 1) == 1;
}

static bool derive(struct conn *c, uint32_t spi_out, struct esp_sa *in, struct esp_sa *out,
	struct payload_secret *payload)
{
	uint8_t context[40], keys[2 * KEY_SIZE];
	struct wr w = wr_init(context, sizeof(context));
	bool server = c->k->server, ok;

	wr_addr6(&w, &c->ha);
	wr_addr6(&w, &c->hoa);
	payload->spi_to_ha = server ? c->spi_in : spi_out;
	payload->spi_to_mr = server ? spi_out : c->spi_in;
	wr_u32(&w, payload->spi_to_ha);
	wr_u32(&w, payload->spi_to_mr);
	ok = export(c, LABEL, context, keys, sizeof(keys)) &&
	     export(c, LABEL_DATA, context, payload->secret, sizeof(payload->secret));
	make_sa(in, c->spi_in, keys + (server ? 0 : KEY_SIZE));
	make_sa(out, spi_out, keys + (server ? KEY_SIZE : 0));
	OPENSSL_cleanse(keys, sizeof(keys));
	return ok;
}

static void finish(struct conn *c)
{
	struct rd r = rd_init(c->in, sizeof(c->in));
	struct keying *k = c->k;
	struct in6_addr ha = c->ha, hoa = c->hoa;
	struct payload_secret payload = {0};
	struct esp_sa in, out;
	bool ok;

	rd_skip(&r, 4);
	ok = derive(c, rd_u32(&r), &in, &out, &payload);
	SSL_shutdown(c->ssl);
	k->counters[ok ? KEY_C_key_ok : KEY_C_key_failed]++;
	k->wait_ms = 0;
	conn_free(c);
	if (ok)
		k->done(k->arg, &ha, &hoa, &in, &out, &payload);
	OPENSSL_cleanse(&in, sizeof(in));
	OPENSSL_cleanse(&out, sizeof(out));
	OPENSSL_cleanse(&payload, sizeof(payload));
}

/* The other end's hello is complete: 0, or what is wrong with it. */
static int judge(struct conn *c)
{
	struct rd r = rd_init(c->in, sizeof(c->in));
	uint8_t version = rd_u8(&r), flags = rd_u8(&r);
	struct in6_addr hoa;
	uint32_t spi;

	rd_skip(&r, 2);
	spi = rd_u32(&r);
	hoa = rd_addr6(&r);
	if (version != VERSION || spi < ESP_MIN_SPI || spi & PAYLOAD_SPI)
		return KEY_C_key_failed;
	if (c->k->server)
		c->hoa = c->who->hoa;
	if (!addr6_eq(&hoa, &c->hoa))
		return KEY_C_key_home_address;
	return !(flags & FLAG_PAYLOAD) == !c->k->payload ? 0 : KEY_C_key_payload;
}

/* What OpenSSL wants next; false: it has failed. */
static bool wants(struct conn *c, int r)
{
	int e = SSL_get_error(c->ssl, r);

	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		return false;
	sd_event_source_set_io_events(c->io, e == SSL_ERROR_WANT_WRITE ? EPOLLOUT : EPOLLIN);
	return true;
}

static int drive(struct conn *c)
{
	int r = 1, wrong;

	if (!c->shaken) {
		r = SSL_do_handshake(c->ssl);
		if (r != 1)
			return wants(c, r) ? 0 : KEY_C_key_failed + 1;
		c->shaken = true;
		/* By our pre-shared key, or who is it? */
		wrong = SSL_session_reused(c->ssl) && c->who ? 0 : keying_identify(c);
		if (SSL_session_reused(c->ssl) && !c->who)
			wrong = KEY_C_key_failed;
		if (wrong)
			return wrong + 1;
		if (!c->k->server)
			make_hello(c);
	}
	for (;;) {
		bool my_turn = c->k->server == (c->n_in == HELLO_SIZE) && !c->sent;

		if (my_turn)
			r = SSL_write(c->ssl, c->out, HELLO_SIZE);
		else if (c->n_in < HELLO_SIZE)
			r = SSL_read(c->ssl, c->in + c->n_in, (int)(HELLO_SIZE - c->n_in));
		else
			return -1;
		if (r <= 0)
			return wants(c, r) ? 0 : KEY_C_key_failed + 1;
		if (my_turn) {
			c->sent = true;
			continue;
		}
		c->n_in += (size_t)r;
		if (c->n_in < HELLO_SIZE)
			continue;
		wrong = judge(c);
		if (wrong)
			return wrong + 1;
		if (c->k->server)
			make_hello(c);
	}
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct conn *c = arg;
	int r;

	(void)s, (void)fd, (void)revents;
	errno = 0;
	r = drive(c);
	if (r < 0)
		finish(c);
	else if (r > 0)
		fail(c, (enum keying_counter)(r - 1));
	return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *arg)
{
	(void)s, (void)usec;
	errno = ETIMEDOUT;
	fail(arg, KEY_C_key_failed);
	return 0;
}

/* Takes 'fd' over in any case. */
static struct conn *conn_new(struct keying *k, int fd)
{
	struct conn *c = OPENSSL_zalloc(sizeof(*c));
	int yes = 1;

	if (!c) {
		close(fd);
		return NULL;
	}
	/* The hello goes at once, not when the handshake's last message is acknowledged. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	keying_look(k);
	c->k = k;
	c->fd = fd;
	DL_APPEND(k->conns, c);
	k->n_conns++;
	c->ssl = SSL_new(k->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1 || SSL_set_app_data(c->ssl, c) != 1 ||
		sd_event_add_io(k->event, &c->io, fd, k->server ? EPOLLIN : EPOLLOUT, on_io, c) <
			0 ||
		sd_event_add_time_relative(
			k->event, &c->timer, CLOCK_MONOTONIC, TIMEOUT_US, 0, on_timeout, c) < 0) {
		fail(c, KEY_C_key_failed);
		return NULL;
	}
	if (k->server)
		sd_event_source_set_priority(c->io, BEHIND);
	if (k->server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	return c;
}

/* How many connections come from this one's network. */
static unsigned from_there(const struct keying *k, const struct conn *c)
{
	const struct conn *d;
	unsigned n = 0;

	DL_FOREACH(k->conns, d)
	n += memcmp(&d->coa, &c->coa, 8) == 0;
	return n;
}

/* An exchange takes two round trips.  So when there are too many the longest open one goes, of the
 * /64 that has most: who opens connections and leaves them takes his own places. */
static void make_room(struct keying *k)
{
	struct conn *c, *out = k->conns;
	unsigned n, most = 0;

	if (k->n_conns < MAX_CONNS)
		return;
	DL_FOREACH(k->conns, c)
	{
		n = from_there(k, c);
		if (n > most) {
			most = n;
			out = c;
		}
	}
	k->counters[KEY_C_key_limited]++;
	conn_free(out);
}

static int on_connect(sd_event_source *s, int listener, uint32_t revents, void *arg)
{
	struct keying *k = arg;
	struct sockaddr_in6 from = {0};
	socklen_t size = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;

	(void)s, (void)revents;
	if (fd < 0) { /* without a descriptor left it stays ready: its rate is limited */
		if (errno != EAGAIN && errno != ECONNABORTED)
			k->counters[KEY_C_key_limited]++;
		return 0;
	}
	make_room(k);
	c = conn_new(k, fd);
	if (c) {
		c->ha = k->ha;
		c->coa = from.sin6_addr;
	}
	return 0;
}

void keying_start(struct keying *k, const struct in6_addr *coa, const struct in6_addr *ha,
	const struct in6_addr *hoa)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_addr = *coa};
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)k->port), .sin6_addr = *ha};
	uint64_t now = daemon_now();
	struct conn *c = k->conns;
	int fd;

	if (c && addr6_eq(&c->coa, coa) && addr6_eq(&c->ha, ha))
		return; /* on its way */
	if (c)
		conn_free(c); /* from where we no longer are */
	else if (now < k->wait_until)
		return;
	k->wait_ms = !k->wait_ms                ? WAIT_MIN_MS
		     : k->wait_ms < WAIT_MAX_MS ? 2 * k->wait_ms
						: WAIT_MAX_MS;
	k->wait_until = now + k->wait_ms;
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
		(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
		log_debug("keys: %s", strerror(errno));
		k->counters[KEY_C_key_failed]++;
		if (fd >= 0)
			close(fd);
		return;
	}
	c = conn_new(k, fd);
	if (!c)
		return;
	c->who = k->who;
	c->ha = *ha;
	c->hoa = *hoa;
	c->coa = *coa;
}

void keying_hurry(struct keying *k)
{
	k->wait_until = k->wait_ms = 0;
}

/* --- start and stop --- */

static int open_listener(struct keying *k)
{
	struct sockaddr_in6 at = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)k->port), .sin6_addr = k->ha};
	int yes = 1, r;

	k->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->fd < 0 || setsockopt(k->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
		setsockopt(k->fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)) < 0 ||
		bind(k->fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(k->fd, MAX_CONNS) < 0)
		return -errno;
	r = sd_event_add_io(k->event, &k->listen, k->fd, EPOLLIN, on_connect, k);
	if (r >= 0)
		r = sd_event_source_set_ratelimit(k->listen, ACCEPT_US, ACCEPT_MAX);
	return r < 0 ? r : sd_event_source_set_priority(k->listen, LAST);
}

int keying_open(struct keying **out, sd_event *event, const struct in6_addr *ha, unsigned port,
	keying_done_fn *done, void *arg)
{
	struct keying *k = calloc(1, sizeof(*k));
	char why[CERTS_WHY_SIZE];
	int r;

	if (!k)
		return -ENOMEM;
	*k = (struct keying){
		.event = event, .server = ha, .port = port, .fd = -1, .done = done, .arg = arg};
	if (ha)
		k->ha = *ha;
	r = keying_tls(k, why);
	if (r == 0 && ha)
		r = open_listener(k);
	if (r < 0) {
		keying_close(k);
		return r;
	}
	*out = k;
	return 0;
}

int keying_add(struct keying *k, const struct keys *keys, const struct in6_addr *hoa)
{
	struct who *w = OPENSSL_zalloc(sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->psk = keys->psk;
	memcpy(w->cert_id, keys->cert_id, sizeof(w->cert_id));
	w->hoa = *hoa;
	LL_PREPEND(k->who, w);
	return 0;
}

void keying_payload(struct keying *k)
{
	k->payload = true;
}

void keying_drop(struct keying *k, const struct in6_addr *hoa)
{
	struct conn *c, *next_conn;
	struct who *w, *next;

	DL_FOREACH_SAFE(k->conns, c, next_conn)
	if (c->who && addr6_eq(&c->who->hoa, hoa))
		conn_free(c);
	LL_FOREACH_SAFE(k->who, w, next)
	{
		if (!addr6_eq(&w->hoa, hoa))
			continue;
		LL_DELETE(k->who, w);
		OPENSSL_clear_free(w, sizeof(*w));
	}
}

uint64_t keying_counter(const struct keying *k, enum keying_counter c)
{
	return k->counters[c];
}

void keying_close(struct keying *k)
{
	struct who *w, *next;

	if (!k)
		return;
	while (k->conns)
		conn_free(k->conns);
	sd_event_source_disable_unref(k->listen);
	if (k->fd >= 0)
		close(k->fd);
	SSL_CTX_free(k->ctx);
	LL_FOREACH_SAFE(k->who, w, next)
	OPENSSL_clear_free(w, sizeof(*w));
	free(k);
}
