/* flood - Binding Updates for the flood bench: forged ones from many sources at a steady rate, and
 * those of honest routers whose acknowledgements are timed.
 *
 *   flood forge KIND HA N PER_S SECONDS  prints how many it has sent.  KIND:
 *       stranger   in clear, each of another home address that nobody has
 *       clear      in clear, of one of the N routers
 *       esp        ESP under a router's home address and SPI, its contents random
 *       target     the same, all under the first router's
 *   flood dial HA PORT PER_S SECONDS  TCP connections that send the first message of TLS 1.3 and
 *       then nothing; prints how many
 *   flood honest HA N PER_S INTERFACE COA[,COA...]  until SIGTERM, one line an update: when it was
 *       sent (ns of CLOCK_MONOTONIC), after how many us the acknowledgement came, -1: not in 1 s.
 *       With several care-of addresses a router moves to the next one with each update.
 *
 * Router i is home address 2001:db8:d::1:i; both directions' SPI is 1000 + i and its keys are the
 * octet i + 1 over and over (netns-tests/bench/flood.py writes the same).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/core/rng.h"
#include "common/sec/sec.h"

#define NS        1000000000ULL
#define BATCH     64
#define MAX_HOMES 4096
#define MAX_DIALS 512
#define MAX_COAS  8
#define LOST_NS   NS
#define FIRST_SPI 1000
#define NTP_1970  2208988800u

static volatile sig_atomic_t ended;

static void on_end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / NS), (long)(ns % NS)};

	while (!ended && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static struct in6_addr address(const char *s)
{
	struct in6_addr a;

	if (inet_pton(AF_INET6, s, &a) != 1) {
		fprintf(stderr, "flood: %s is no address\n", s);
		exit(2);
	}
	return a;
}

static struct in6_addr home(unsigned i)
{
	struct in6_addr a = address("2001:db8:d::1:0");

	a.s6_addr[14] = (uint8_t)(i >> 8);
	a.s6_addr[15] = (uint8_t)i;
	return a;
}

static int raw_socket(void)
{
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), size = 4 << 20;

	if (fd < 0)
		die("raw socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static struct mh_env update(struct in6_addr coa, struct in6_addr ha, struct in6_addr hoa)
{
	struct mh_env e = {.src = coa, .dst = ha, .hoa = hoa};

	e.m.type = MH_BU;
	e.m.bu.flags = MH_BU_A | MH_BU_H | MH_BU_R;
	e.m.bu.lifetime_s = 600;
	e.m.o.alt_coa = coa;
	return e;
}

/* --- the attackers --- */

struct forger {
	char kind; /* first letter */
	struct in6_addr ha;
	unsigned n_homes;
	uint64_t rng;
};

static void put_random(struct forger *f, uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)rng_next(&f->rng);
}

/* 2001:db8:bad:xxxx:x:x:x:x, never the same */
static struct in6_addr source(struct forger *f)
{
	struct in6_addr a = address("2001:db8:bad::");

	put_random(f, a.s6_addr + 6, 10);
	return a;
}

static size_t forge(struct forger *f, uint8_t *buf, size_t room)
{
	unsigned i = f->kind == 't' ? 0 : (unsigned)(rng_next(&f->rng) % f->n_homes);
	struct mh_env e = update(source(f), f->ha, home(i));
	uint8_t esp[104];
	struct ip6_pkt p = {.src = e.src,
		.dst = e.dst,
		.hop_limit = 64,
		.has_hao = true,
		.hao = e.hoa,
		.proto = IP6_PROTO_ESP,
		.payload = esp,
		.payload_size = sizeof(esp)};
	uint32_t head[2] = {htonl(FIRST_SPI + i), htonl(1u << 30)};

	e.m.bu.seq = (uint16_t)rng_next(&f->rng);
	if (f->kind == 's')
		put_random(f, e.hoa.s6_addr + 8, 8);
	if (f->kind == 's' || f->kind == 'c')
		return (size_t)mh_encode_packet(&e, buf, room);
	put_random(f, esp, sizeof(esp));
	memcpy(esp, head, sizeof(head));
	return (size_t)ip6_encode(&p, buf, room);
}

static unsigned send_batch(struct forger *f, int fd)
{
	static uint8_t buf[BATCH][512];
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = f->ha};
	struct mmsghdr m[BATCH] = {0};
	struct iovec v[BATCH];
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		v[i] = (struct iovec){buf[i], forge(f, buf[i], sizeof(buf[i]))};
		m[i].msg_hdr = (struct msghdr){.msg_name = &to,
			.msg_namelen = sizeof(to),
			.msg_iov = &v[i],
			.msg_iovlen = 1};
	}
	n = sendmmsg(fd, m, BATCH, 0);
	return n < 0 ? 0 : (unsigned)n;
}

static int forge_for(char **argv)
{
	struct forger f = {
		.kind = argv[0][0], .ha = address(argv[1]), .n_homes = (unsigned)atoi(argv[2])};
	uint64_t per_s = (uint64_t)atoll(argv[3]), start = now_ns(), sent = 0, tried = 0;
	uint64_t end = start + (uint64_t)atoll(argv[4]) * NS;
	int fd = raw_socket();

	f.rng = start;
	while (!ended && now_ns() < end) {
		sent += send_batch(&f, fd);
		tried += BATCH;
		sleep_until(start + tried * NS / per_s);
	}
	printf("%.0f\n", (double)sent * NS / (double)(now_ns() - start));
	return 0;
}

/* A first message that any server of TLS 1.3 has to think about. */
static size_t client_hello(uint8_t *buf, size_t room)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int n;

	if (!ssl || !in || !out || SSL_set_min_proto_version(ssl, TLS1_3_VERSION) != 1)
		die("TLS");
	SSL_set_bio(ssl, in, out);
	SSL_connect(ssl);
	n = BIO_read(out, buf, (int)room);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return n > 0 ? (size_t)n : 0;
}

static int dial_for(char **argv)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)atoi(argv[1])),
		.sin6_addr = address(argv[0])};
	uint64_t per_s = (uint64_t)atoll(argv[2]), start = now_ns(), tried = 0, sent = 0;
	uint64_t end = start + (uint64_t)atoll(argv[3]) * NS;
	int fds[MAX_DIALS], timeout_ms = 1000;
	uint8_t hello[1024];
	size_t size = client_hello(hello, sizeof(hello));

	memset(fds, -1, sizeof(fds));
	for (; !ended && now_ns() < end; tried++) {
		int *fd = &fds[tried % MAX_DIALS];

		if (*fd >= 0)
			close(*fd);
		*fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(*fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
		if (connect(*fd, (struct sockaddr *)&to, sizeof(to)) == 0)
			sent += send(*fd, hello, size, MSG_NOSIGNAL) == (ssize_t)size;
		sleep_until(start + tried * NS / per_s);
	}
	printf("%.0f\n", (double)sent * NS / (double)(now_ns() - start));
	return 0;
}

/* --- the honest routers --- */

struct honest {
	struct sec *sec;
	struct in6_addr ha, coa[MAX_COAS];
	int tx, rx;
	unsigned n, n_coas;
	uint64_t sent[MAX_HOMES]; /* ns; 0: nothing waits for an answer */
	uint16_t seq[MAX_HOMES];
};

static uint64_t ntp_now(void)
{
	return (uint64_t)(time(NULL) + NTP_1970) << 32;
}

static void keep(void *arg, const struct sec_mark *m)
{
	(void)arg, (void)m;
}

static bool recall(void *arg, struct sec_mark *m)
{
	(void)arg, (void)m;
	return false;
}

static void randomize(void *arg, void *out, size_t size)
{
	(void)arg;
	if (getrandom(out, size, 0) != (ssize_t)size)
		die("getrandom");
}

static void add_keys(struct honest *h, unsigned i)
{
	struct in6_addr hoa = home(i);
	struct keys k = {0};

	for (unsigned d = 0; d < KEYS_N_DIRS; d++) {
		struct esp_sa *sa = &k.esp[d];

		sa->spi = FIRST_SPI + i;
		sa->cipher = ESP_CBC;
		sa->enc_size = 32;
		sa->replay = true;
		memset(sa->mac, (int)(i + 1), sizeof(sa->mac));
		memset(sa->enc, (int)(i + 1), sizeof(sa->enc));
	}
	if (sec_add(h->sec, &h->ha, &hoa, "honest", SEC_ESP_STATIC, &k) < 0)
		die("keys");
}

static void open_wire(struct honest *h, const char *interface)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IPV6),
		.sll_ifindex = (int)if_nametoindex(interface)};

	h->tx = raw_socket();
	h->rx = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->rx < 0 || !at.sll_ifindex || bind(h->rx, (struct sockaddr *)&at, sizeof(at)) < 0)
		die(interface);
}

static void send_update(struct honest *h, unsigned i)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = h->ha};
	struct mh_env e = update(h->coa[h->seq[i] % h->n_coas], h->ha, home(i));
	uint8_t buf[IP6_SIG_MAX];
	int n;

	e.m.bu.seq = ++h->seq[i];
	n = sec_seal(h->sec, &e, ntp_now(), buf, sizeof(buf));
	h->sent[i] = now_ns();
	if (n < 0 || sendto(h->tx, buf, (size_t)n, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("update");
}

static void report(struct honest *h, unsigned i, long us)
{
	printf("%llu %ld\n", (unsigned long long)h->sent[i], us);
	fflush(stdout);
	h->sent[i] = 0;
}

static void take_answers(struct honest *h)
{
	uint8_t buf[IP6_SIG_MAX];
	enum ip6_verdict chain;
	struct sec_clear clear;
	unsigned where, i;
	struct mh_env e;
	ssize_t n;

	while ((n = recv(h->rx, buf, sizeof(buf), 0)) > 0) {
		if (sec_unwrap(h->sec, buf, (size_t)n, ntp_now(), &clear) != MH_OK ||
			sec_open(h->sec, &clear, ntp_now(), &e, &chain, &where) != MH_OK ||
			e.m.type != MH_BA)
			continue;
		i = (unsigned)(e.hoa.s6_addr[14] << 8 | e.hoa.s6_addr[15]);
		if (e.m.ba.status == MH_ST_SEQ_WINDOW)
			continue; /* it was late, and its successor is there already */
		if (e.m.ba.status != 0) {
			fprintf(stderr, "flood: status %u\n", e.m.ba.status);
			exit(1);
		}
		if (i < h->n && h->sent[i] && e.m.ba.seq == h->seq[i])
			report(h, i, (long)((now_ns() - h->sent[i]) / 1000));
	}
}

static void give_up_old(struct honest *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (h->sent[i] && now_ns() - h->sent[i] > LOST_NS)
			report(h, i, -1);
	}
}

static int be_honest(char **argv)
{
	static struct honest h;
	struct sec_hooks hooks = {.keep = keep, .recall = recall, .random = randomize};
	uint64_t per_s = (uint64_t)atoll(argv[2]), next = now_ns();

	h.ha = address(argv[0]);
	h.n = (unsigned)atoi(argv[1]);
	for (char *s = strtok(argv[4], ","); s && h.n_coas < MAX_COAS; s = strtok(NULL, ","))
		h.coa[h.n_coas++] = address(s);
	h.sec = sec_new(false, SEC_ESP_STATIC, &hooks);
	for (unsigned i = 0; i < h.n; i++)
		add_keys(&h, i);
	open_wire(&h, argv[3]);
	for (unsigned i = 0; !ended; i = (i + 1) % h.n) {
		if (!h.sent[i])
			send_update(&h, i);
		next += NS / per_s;
		while (!ended && now_ns() < next) {
			struct pollfd p = {.fd = h.rx, .events = POLLIN};
			struct timespec left = {0, (long)(next - now_ns()) % (long)NS};

			ppoll(&p, 1, left.tv_nsec > 0 ? &left : &(struct timespec){0}, NULL);
			take_answers(&h);
		}
		give_up_old(&h);
	}
	sec_free(h.sec);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_end};

	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	if (argc == 7 && strcmp(argv[1], "forge") == 0)
		return forge_for(argv + 2);
	if (argc == 7 && strcmp(argv[1], "honest") == 0 && atoi(argv[3]) <= MAX_HOMES)
		return be_honest(argv + 2);
	if (argc == 6 && strcmp(argv[1], "dial") == 0)
		return dial_for(argv + 2);
	fprintf(stderr, "usage: flood forge KIND HA N PER_S SECONDS\n"
			"       flood dial HA PORT PER_S SECONDS\n"
			"       flood honest HA N PER_S INTERFACE COA[,COA...]\n");
	return 2;
}
