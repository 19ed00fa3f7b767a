/* mhio.c - Mobility Header and ICMPv6 signalling messages in and out. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include "common/os/daemon.h"
#include "common/os/mhio.h"

struct mhio {
	struct sig *sig;
	mhio_rx_fn *rx;
	mhio_icmp6_fn *on_icmp6; /* may be NULL */
	void *arg;
	uint64_t counters[MHIO_N_COUNTERS];
	uint64_t errors_since; /* ms; start of the second that 'errors' counts */
	unsigned errors, errors_per_s;
};

struct sig *mhio_sig(struct mhio *io)
{
	return io->sig;
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

static void send_binding_error(struct mhio *io, const struct mh_env *to)
{
	struct mh_env e = {.src = to->dst, .dst = to->src};

	e.m.type = MH_BE;
	e.m.be.status = 2;
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
static bool receive_icmp6(struct mhio *io, const void *pkt, size_t size)
{
	struct icmp6_msg m;
	enum icmp6_verdict v = icmp6_decode(pkt, size, &m);

	if (v == ICMP6_IGNORE)
		return false;
	io->counters[MHIO_C_icmp6_rx]++;
	if (v != ICMP6_OK)
		io->counters[MHIO_C_icmp6_bad]++;
	else if (io->on_icmp6)
		io->on_icmp6(io->arg, &m);
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
	};
	struct mhio *io = arg;
	enum ip6_verdict chain;
	unsigned where;
	struct mh_env e = {0};
	enum mh_verdict v;

	(void)ifindex;
	if (receive_icmp6(io, pkt, size))
		return;
	v = mh_decode_packet(pkt, size, &e, &chain, &where);
	io->counters[counter[v]]++;
	if (v == MH_OK) {
		io->rx(io->arg, &e);
		return;
	}
	io->counters[MHIO_C_mh_rx]++;
	if (v == MH_DROP_TYPE && may_send_error(io, &e))
		send_binding_error(io, &e);
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

int mhio_send_icmp6(struct mhio *io, const struct icmp6_msg *m, unsigned oif)
{
	uint8_t buf[ICMP6_MAX_SIZE];
	int n = icmp6_encode(m, buf, sizeof(buf));

	return n < 0 ? n : sig_send(io->sig, buf, (size_t)n, oif);
}

int mhio_send(struct mhio *io, const struct mh_env *e, unsigned oif)
{
	uint8_t buf[IP6_SIG_MAX];
	int n = mh_encode_packet(e, buf, sizeof(buf));

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
	sig_close(io->sig);
	free(io);
}
