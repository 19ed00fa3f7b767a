/* mhio.c - Mobility Header and ICMPv6 signalling messages in and out. */
#include <errno.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/os/daemon.h"
#include "common/os/mhio.h"

#define NTP_1970 2208988800u /* seconds from 1900 to there */

struct mhio {
	struct sig *sig;
	struct sec *sec; /* borrowed; NULL: all in clear */
	mhio_keys_fn *on_keys;
	void *keys_arg;
	bool waits; /* for keys: */
	struct mh_env waiting;
	unsigned waiting_oif;
	mhio_rx_fn *rx;
	mhio_icmp6_fn *on_icmp6; /* may be NULL */
	mhio_error_fn *on_error; /* may be NULL */
	int error_fd;            /* -1: none */
	sd_event_source *errors_source;
	uint32_t take; /* SIG_TAKE_* */
	mhio_known_fn *known;
	void *arg;
	uint64_t counters[MHIO_N_COUNTERS];
	uint64_t errors_since; /* ms; start of the second that 'errors' counts */
	unsigned errors, errors_per_s;
};

struct sig *mhio_sig(struct mhio *io)
{
	return io->sig;
}

void mhio_protect(struct mhio *io, struct sec *sec)
{
	io->sec = sec;
}

void mhio_on_keys(struct mhio *io, mhio_keys_fn *fn, void *arg)
{
	io->on_keys = fn;
	io->keys_arg = arg;
}

void mhio_resend(struct mhio *io)
{
	if (io->waits)
		mhio_send(io, &io->waiting, io->waiting_oif);
}

/* Seconds since 1900 and their fraction (RFC 5905 s6). */
static uint64_t ntp_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec + NTP_1970) << 32 | ((uint64_t)t.tv_nsec << 32) / 1000000000;
}

static bool may_send_error(struct mhio *io, const struct mh_env *e)
{
	uint64_t now = daemon_now();

	if (!addr6_is_routable(&e->src) && !addr6_is_link_local(&e->src))
		return false; /* never to multicast or :: (RFC 6275 s9.3.3) */
	if (now - io->errors_since >= 1000) {
		io->errors_since = now;
		io->errors = 0;
	}
	if (io->errors++ < io->errors_per_s)
		return true;
	io->counters[MHIO_C_mh_errors_limited]++;
	return false;
}

static void send_binding_error(struct mhio *io, const struct mh_env *to, uint8_t status)
{
	struct mh_env e = {.src = to->dst, .dst = to->src};

	e.m.type = MH_BE;
	e.m.be.status = status;
	e.m.be.hoa = to->hoa;
	mhio_send(io, &e, 0);
}

static void send_param_problem(struct mhio *io, const void *pkt, size_t size, uint8_t code,
	unsigned where, const struct mh_env *to)
{
	uint8_t buf[1280];
	int n = mh_encode_param_problem(pkt, size, code, where, &to->dst, buf, sizeof(buf));

	if (n > 0)
		sig_send(io->sig, buf, (size_t)n, 0);
}

/* False: it is none of these messages. */
static bool receive_icmp6(struct mhio *io, const struct sec_clear *c)
{
	struct icmp6_msg m;
	enum icmp6_verdict v = icmp6_decode(c->pkt, c->size, &m);

	if (v == ICMP6_IGNORE)
		return false;
	io->counters[MHIO_C_icmp6_rx]++;
	if (v != ICMP6_OK)
		io->counters[MHIO_C_icmp6_bad]++;
	else if (io->sec && !sec_icmp6_ok(io->sec, c, &m))
		io->counters[MHIO_C_icmp6_protection]++;
	else if (io->on_icmp6)
		io->on_icmp6(io->arg, &m);
	return true;
}

/* What came under ESP is opened; false: it was refused. */
static bool unwrap(struct mhio *io, const void *pkt, size_t size, struct sec_clear *c)
{
	struct mh_env e;

	if (!io->sec) {
		c->pkt = pkt;
		c->size = size;
		c->esp = false;
		return true;
	}
	if (sec_unwrap(io->sec, pkt, size, ntp_now(), c) == MH_OK)
		return true;
	io->counters[MHIO_C_mh_rx]++;
	io->counters[MHIO_C_mh_protection]++;
	e = (struct mh_env){.src = c->src, .dst = c->dst, .hoa = c->hoa};
	if (c->tell && may_send_error(io, &e))
		send_binding_error(io, &e, 1);
	return false;
}

/* False: it is signalling, or malformed in the same way. */
static bool receive_plain(struct mhio *io, const void *pkt, size_t size)
{
	uint8_t copy[IP6_SIG_MAX];
	enum ip6_verdict v;
	struct ip6_pkt p;
	bool known;

	if (!io->take || size > sizeof(copy))
		return false;
	memcpy(copy, pkt, size);
	v = ip6_settle(copy, size, &p);
	if ((v != IP6_OK && v != IP6_DROP_HAO_ADDR) || p.proto == IP6_PROTO_MH ||
		p.proto == IP6_PROTO_ESP)
		return false;
	if (p.has_hao != (io->take == SIG_TAKE_HAO) || p.has_rh2 != (io->take == SIG_TAKE_RH2))
		return false;
	known = v == IP6_OK &&
		io->known(io->arg, p.has_hao ? &p.hao : &p.rh2, p.has_hao ? &p.src : NULL);
	io->counters[known ? MHIO_C_home_rx
			   : (p.has_hao ? MHIO_C_home_unknown : MHIO_C_home_foreign)]++;
	if (known) { /* without what the link padded it with */
		sig_deliver(io->sig, copy,
			(size_t)(p.payload - (const uint8_t *)copy) + p.payload_size);
	} else if (p.has_hao) {
		struct mh_env e = {.src = p.src, .dst = p.dst, .hoa = p.hao};

		if (may_send_error(io, &e))
			send_binding_error(io, &e, 1);
	}
	return true;
}

static void receive(void *arg, const void *pkt, size_t size, unsigned ifindex)
{
	static const enum mhio_counter counter[] = {
		[MH_OK] = MHIO_C_mh_rx,
		[MH_DROP_CSUM] = MHIO_C_mh_bad_checksum,
		[MH_DROP_TYPE] = MHIO_C_mh_unknown_type,
		[MH_DROP_PROTO] = MHIO_C_mh_bad_proto,
		[MH_DROP_LEN] = MHIO_C_mh_too_short,
		[MH_DROP_SHORT] = MHIO_C_mh_truncated,
		[MH_DROP_OPTION] = MHIO_C_mh_bad_option,
		[MH_DROP_HEADER] = MHIO_C_mh_unknown_header,
		[MH_DROP_CHAIN] = MHIO_C_mh_bad_chain,
		[MH_DROP_SEC] = MHIO_C_mh_protection,
	};
	struct mhio *io = arg;
	struct sec_clear c;
	enum ip6_verdict chain;
	unsigned where;
	struct mh_env e = {0};
	enum mh_verdict v;

	(void)ifindex;
	if (!unwrap(io, pkt, size, &c) || receive_icmp6(io, &c) ||
		(!c.esp && receive_plain(io, pkt, size)))
		return;
	v = io->sec ? sec_open(io->sec, &c, ntp_now(), &e, &chain, &where)
		    : mh_decode_packet(pkt, size, &e, &chain, &where);
	io->counters[counter[v]]++;
	if (v == MH_OK) {
		io->rx(io->arg, &e);
		return;
	}
	io->counters[MHIO_C_mh_rx]++;
	if (v == MH_DROP_TYPE && may_send_error(io, &e))
		send_binding_error(io, &e, 2);
	else if ((v == MH_DROP_PROTO || v == MH_DROP_LEN || v == MH_DROP_HEADER) &&
		 may_send_error(io, &e))
		send_param_problem(io, pkt, size, chain == IP6_DROP_OPTION_TELL ? 2 : 0, where, &e);
}

int mhio_open(
	struct mhio **out, enum sig_mode mode, sd_event *ev, mhio_rx_fn *rx, void *arg, char *why)
{
	struct mhio *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return -ENOMEM;
	io->errors_per_s = MHIO_ERRORS_PER_S;
	io->error_fd = -1;
	io->rx = rx;
	io->arg = arg;
	r = sig_open(&io->sig, mode, ev, receive, io, why);
	if (r < 0) {
		free(io);
		return r;
	}
	*out = io;
	return 0;
}

void mhio_limit_errors(struct mhio *io, unsigned per_s)
{
	io->errors_per_s = per_s;
}

void mhio_on_icmp6(struct mhio *io, mhio_icmp6_fn *fn)
{
	io->on_icmp6 = fn;
}

static int on_error_message(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct mhio *io = arg;
	uint8_t buf[ICMP6_MAX_SIZE];
	struct quote_update q;
	const struct in6_addr *hoa;
	ssize_t n;

	(void)s, (void)revents;
	while ((n = recv(fd, buf, sizeof(buf), 0)) >= 0) {
		if (!quote_read_update(buf, (size_t)n, &q))
			continue;
		io->counters[MHIO_C_icmp6_errors]++;
		hoa = addr6_is_any(&q.hoa) ? &q.src : &q.hoa;
		if (io->sec && !sec_sent(io->sec, &q.dst, hoa, q.esp, q.spi, q.number))
			io->counters[MHIO_C_icmp6_errors_foreign]++;
		else
			io->on_error(io->arg, &q);
	}
	return 0;
}

int mhio_on_error(struct mhio *io, sd_event *event, mhio_error_fn *fn)
{
	struct icmp6_filter filter;

	ICMP6_FILTER_SETBLOCKALL(&filter);
	for (int type = QUOTE_UNREACHABLE; type <= QUOTE_PARAM_PROBLEM; type++)
		ICMP6_FILTER_SETPASS(type, &filter);
	io->on_error = fn;
	io->error_fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	if (io->error_fd < 0 ||
		setsockopt(io->error_fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0)
		return -errno;
	return sd_event_add_io(
		event, &io->errors_source, io->error_fd, EPOLLIN, on_error_message, io);
}

static void want_keys(struct mhio *io, const struct mh_env *e)
{
	if (io->sec && io->on_keys && sec_needs_keys(io->sec, e, daemon_now()))
		io->on_keys(io->keys_arg, e);
}

int mhio_send_icmp6(struct mhio *io, const struct icmp6_msg *m, unsigned oif)
{
	struct mh_env e = {.src = m->src, .dst = m->dst, .hoa = m->hoa};
	uint8_t buf[ICMP6_MAX_SIZE];
	int n;

	if (m->type == ICMP6_MPS)
		want_keys(io, &e);
	n = io->sec ? sec_seal_icmp6(io->sec, m, buf, sizeof(buf))
		    : icmp6_encode(m, buf, sizeof(buf));
	if (n == -ENOKEY) /* it is sent again, by when there are keys */
		return 0;
	return n < 0 ? n : sig_send(io->sig, buf, (size_t)n, oif);
}

int mhio_take(struct mhio *io, uint32_t what, mhio_known_fn *known)
{
	io->take = what;
	io->known = known;
	return sig_take(io->sig, what);
}

int mhio_send(struct mhio *io, const struct mh_env *e, unsigned oif)
{
	uint8_t buf[IP6_SIG_MAX];
	int n;

	want_keys(io, e);
	n = io->sec ? sec_seal(io->sec, e, ntp_now(), buf, sizeof(buf))
		    : mh_encode_packet(e, buf, sizeof(buf));
	io->waits = n == -ENOKEY && io->on_keys;
	if (io->waits) {
		memmove(&io->waiting, e, sizeof(*e));
		io->waiting_oif = oif;
		return 0;
	}
	return n < 0 ? n : sig_send(io->sig, buf, (size_t)n, oif);
}

uint64_t mhio_counter(struct mhio *io, enum mhio_counter c)
{
	struct sig_counters s;

	sig_counters(io->sig, &s);
	if (c == MHIO_C_mh_lost)
		return s.lost;
	if (c == MHIO_C_mh_tx)
		return s.tx;
	return c == MHIO_C_mh_tx_errors ? s.tx_errors : io->counters[c];
}

void mhio_close(struct mhio *io)
{
	if (!io)
		return;
	sd_event_source_disable_unref(io->errors_source);
	if (io->error_fd >= 0)
		close(io->error_fd);
	sig_close(io->sig);
	free(io);
}
