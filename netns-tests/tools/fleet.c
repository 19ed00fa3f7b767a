/* fleet - plays many mobile routers before one home agent: real updates with explicit prefixes,
 * protected by RFC 4285's option or in clear, over packet sockets.
 *
 *   fleet IFNAME HA-MAC HA N KEYFILE|none
 *
 * Router i, 0 <= i < N, has home address 2001:db8:d00::1:0 + i and prefix 2001:db9:0:0::/64 + i,
 * and moves through care-of addresses 2001:db8:c0a:GENERATION::1 + i.  A line in, a JSON line out:
 *
 *   move FROM TO            all of these move (at first: register), as fast as the home agent goes
 *   end FROM TO             all of these de-register
 *   steady RATE SECONDS     registered routers move, so many a second in all
 *
 * "seconds" is from the first update to the last answer; "ms" is the time from update to answer;
 * an update without an answer is sent again after a second, eight times. */
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/sec/sec.h"

#define NS        1000000000ULL
#define WINDOW    1024 /* updates without an answer */
#define AGAIN_NS  NS
#define MAX_TRIES 8
#define BATCH     64
#define FRAME     512
#define LIFETIME  3600
#define NTP_1970  2208988800ULL

struct router {
	uint64_t sent; /* 0: nothing outstanding */
	uint16_t seq, generation;
	uint8_t tries;
};
struct fleet {
	int fd;
	struct ether_header eth;
	struct in6_addr ha;
	struct sec *sec;
	unsigned n;
	struct router *routers;
	unsigned *queue; /* those sent, oldest first: a ring of 2 * n */
	unsigned head, tail;
	/* of the job that is going on */
	uint32_t lifetime;
	unsigned n_out, n_done, n_refused, n_lost, n_again;
	uint8_t status; /* the last refusal's */
	uint64_t first, last;
	uint32_t *us; /* of each answer */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t now_ntp(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec + NTP_1970) << 32 | ((uint64_t)t.tv_nsec << 32) / NS;
}

static struct in6_addr address(const char *base, unsigned octet, uint32_t i)
{
	struct in6_addr a;

	inet_pton(AF_INET6, base, &a);
	for (unsigned k = 0; k < 4; k++)
		a.s6_addr[octet + k] |= (uint8_t)(i >> (24 - 8 * k));
	return a;
}

static struct in6_addr home(unsigned i)
{
	return address("2001:db8:d00::", 12, i + 0x10000);
}

static size_t make_update(struct fleet *f, unsigned i, uint8_t *frame)
{
	struct router *r = &f->routers[i];
	struct mh_env e = {.dst = f->ha, .hoa = home(i)};
	int size;

	e.src = address("2001:db8:c0a::", 12, i + 1);
	e.src.s6_addr[6] = (uint8_t)(r->generation >> 8);
	e.src.s6_addr[7] = (uint8_t)r->generation;
	e.m.type = MH_BU;
	e.m.bu = (struct mh_bu){++r->seq, MH_BU_A | MH_BU_H | MH_BU_R, f->lifetime};
	if (f->lifetime) {
		e.m.o.n_mnp = 1;
		e.m.o.mnp[0] = (struct prefix6){address("2001:db9::", 4, i), 64};
	}
	memcpy(frame, &f->eth, sizeof(f->eth));
	size = sec_seal(f->sec, &e, now_ntp(), frame + sizeof(f->eth), FRAME - sizeof(f->eth));
	if (size < 0)
		errx(1, "sec_seal: %s", strerror(-size));
	return sizeof(f->eth) + (size_t)size;
}

/* Sends an update of each of these routers. */
static void send_updates(struct fleet *f, const unsigned *which, unsigned n)
{
	static uint8_t frames[BATCH][FRAME];
	struct mmsghdr msgs[BATCH] = {0};
	struct iovec iov[BATCH];

	for (unsigned k = 0; k < n; k++) {
		struct router *r = &f->routers[which[k]];

		iov[k] = (struct iovec){frames[k], make_update(f, which[k], frames[k])};
		msgs[k].msg_hdr.msg_iov = &iov[k];
		msgs[k].msg_hdr.msg_iovlen = 1;
		r->sent = now_ns();
		f->queue[f->tail++ % (2 * f->n)] = which[k];
	}
	for (unsigned k = 0; k < n;) {
		int sent = sendmmsg(f->fd, msgs + k, n - k, 0);

		if (sent < 0)
			err(1, "sendmmsg");
		k += (unsigned)sent;
	}
}

static void take_answer(struct fleet *f, const uint8_t *frame, size_t size)
{
	enum ip6_verdict chain;
	struct sec_clear clear;
	struct mh_env e;
	unsigned where, i;
	uint64_t now = now_ns(), ntp = now_ntp();

	if (size < sizeof(f->eth) ||
		sec_unwrap(f->sec, frame + sizeof(f->eth), size - sizeof(f->eth), ntp, &clear) !=
			MH_OK ||
		sec_open(f->sec, &clear, ntp, &e, &chain, &where) != MH_OK || e.m.type != MH_BA)
		return;
	memcpy(&i, &e.hoa.s6_addr[12], sizeof(i));
	i = ntohl(i) - 0x10000;
	if (i >= f->n || !f->routers[i].sent || e.m.ba.seq != f->routers[i].seq)
		return;
	if (e.m.ba.status == MH_ST_ID_MISMATCH && ++f->routers[i].tries < MAX_TRIES) {
		f->n_again++; /* its clock is known now */
		send_updates(f, &i, 1);
		return;
	}
	f->us[f->n_done++] = (uint32_t)((now - f->routers[i].sent) / 1000);
	if (e.m.ba.status >= 128) {
		f->n_refused++;
		f->status = e.m.ba.status;
	}
	f->routers[i].sent = 0;
	f->n_out--;
	f->last = now;
}

static void receive(struct fleet *f, int wait_ms)
{
	static uint8_t frames[BATCH][FRAME];
	struct sockaddr_ll from[BATCH];
	struct mmsghdr msgs[BATCH] = {0};
	struct iovec iov[BATCH];
	struct pollfd p = {f->fd, POLLIN, 0};
	int n;

	if (wait_ms && poll(&p, 1, wait_ms) <= 0)
		return;
	for (unsigned k = 0; k < BATCH; k++) {
		iov[k] = (struct iovec){frames[k], FRAME};
		msgs[k].msg_hdr.msg_iov = &iov[k];
		msgs[k].msg_hdr.msg_iovlen = 1;
		msgs[k].msg_hdr.msg_name = &from[k];
		msgs[k].msg_hdr.msg_namelen = sizeof(from[k]);
	}
	n = recvmmsg(f->fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	for (int k = 0; k < n; k++)
		if (from[k].sll_pkttype != PACKET_OUTGOING)
			take_answer(f, frames[k], msgs[k].msg_len);
}

/* Repeats, or gives up, what has had no answer for a second. */
static void repeat(struct fleet *f)
{
	uint64_t now = now_ns();

	for (unsigned n = 0; n < BATCH && f->head != f->tail; n++) {
		unsigned i = f->queue[f->head % (2 * f->n)];
		struct router *r = &f->routers[i];

		if (r->sent && now - r->sent < AGAIN_NS)
			return;
		f->head++;
		if (!r->sent)
			continue;
		if (++r->tries < MAX_TRIES) {
			f->n_again++;
			send_updates(f, &i, 1);
		} else {
			r->sent = 0;
			f->n_out--;
			f->n_lost++;
		}
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* 'n' updates, from router 'from' on and round; 'rate' a second, 0: as the home agent goes. */
static void job(struct fleet *f, unsigned from, unsigned n, unsigned rate, uint32_t lifetime)
{
	unsigned which[BATCH], k, sent = 0;

	f->n_out = f->n_done = f->n_refused = f->n_lost = f->n_again = 0;
	f->head = f->tail = 0;
	f->lifetime = lifetime;
	f->us = calloc(n + 1, sizeof(*f->us));
	f->first = f->last = now_ns();
	while (f->us && (sent < n || f->n_out)) {
		uint64_t due = rate ? (now_ns() - f->first) * rate / NS : n;

		for (k = 0;
			k < BATCH && sent < n && sent < due && f->n_out < (rate ? f->n : WINDOW);
			sent++) {
			unsigned i = (from + sent) % f->n;

			if (f->routers[i].sent)
				break;
			f->routers[i].generation++;
			f->routers[i].tries = 0;
			which[k++] = i;
			f->n_out++;
		}
		send_updates(f, which, k);
		receive(f, k ? 0 : 1);
		repeat(f);
	}
	qsort(f->us, f->n_done, sizeof(*f->us), by_size);
	printf("{\"n\":%u,\"answered\":%u,\"refused\":%u,\"status\":%u,\"lost\":%u,\"repeated\":%u,"
	       "\"seconds\":%.7f,\"ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}}\n",
		n, f->n_done, f->n_refused, f->status, f->n_lost, f->n_again,
		(double)(f->last - f->first) / (double)NS, f->us[f->n_done / 2] / 1e3,
		f->us[f->n_done * 99ULL / 100] / 1e3, f->us[f->n_done ? f->n_done - 1 : 0] / 1e3);
	free(f->us);
}

static void forget(void *arg, const struct sec_mark *mark)
{
	(void)arg;
	(void)mark;
}

static bool recall(void *arg, struct sec_mark *mark)
{
	(void)arg;
	(void)mark;
	return false;
}

static void fill_random(void *arg, void *out, size_t size)
{
	(void)arg;
	if (getrandom(out, size, 0) != (ssize_t)size)
		err(1, "getrandom");
}

static void read_keys(struct fleet *f, const char *path)
{
	static const struct sec_hooks hooks = {
		.keep = forget, .recall = recall, .random = fill_random};
	bool clear = !strcmp(path, "none");
	struct keys keys = {0};
	char text[1024] = "";
	unsigned line;
	FILE *in = clear ? NULL : fopen(path, "r");

	if (!clear &&
		(!in || !fread(text, 1, sizeof(text) - 1, in) || keys_parse(text, &keys, &line)))
		errx(1, "%s: no key file", path);
	if (in)
		fclose(in);
	f->sec = sec_new(false, SEC_NONE, &hooks);
	for (unsigned i = 0; i < f->n && !clear; i++) {
		struct in6_addr hoa = home(i);
		char name[16];

		snprintf(name, sizeof(name), "r%u", i);
		if (sec_add(f->sec, &f->ha, &hoa, name, SEC_AUTH, &keys) < 0)
			errx(1, "sec_add");
	}
}

static void open_socket(struct fleet *f, const char *ifname, const char *mac)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IPV6),
		.sll_ifindex = (int)if_nametoindex(ifname)};
	struct ether_addr to;
	int size = 64 << 20, one = 1;

	f->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IPV6));
	if (f->fd < 0 || bind(f->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
		setsockopt(f->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0)
		err(1, "%s", ifname);
	if (!ether_aton_r(mac, &to))
		errx(1, "%s is no link-layer address", mac);
	memcpy(f->eth.ether_dhost, &to, sizeof(to));
	f->eth.ether_type = htons(ETH_P_IPV6);
}

int main(int argc, char **argv)
{
	struct fleet f = {0};
	unsigned a, b;
	char line[128];

	if (argc != 6 || inet_pton(AF_INET6, argv[3], &f.ha) != 1 ||
		(f.n = (unsigned)atoi(argv[4])) == 0)
		errx(2, "usage: fleet IFNAME HA-MAC HA N KEYFILE|none");
	f.routers = calloc(f.n, sizeof(*f.routers));
	f.queue = calloc(2 * (size_t)f.n, sizeof(*f.queue));
	if (!f.routers || !f.queue)
		err(1, NULL);
	open_socket(&f, argv[1], argv[2]);
	read_keys(&f, argv[5]);
	setlinebuf(stdout);
	puts("{\"ready\":true}");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "move %u %u", &a, &b) == 2 && a < b && b <= f.n)
			job(&f, a, b - a, 0, LIFETIME);
		else if (sscanf(line, "end %u %u", &a, &b) == 2 && a < b && b <= f.n)
			job(&f, a, b - a, 0, 0);
		else if (sscanf(line, "steady %u %u", &a, &b) == 2)
			job(&f, 0, a * b, a, LIFETIME);
		else
			errx(2, "what is '%s'?", line);
	}
	sec_free(f.sec);
	return 0;
}
