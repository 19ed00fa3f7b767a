/* slow.c - a TAP or TUN device and sockets (RFC 2473 s7, s8). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/tunnel/slow.h"
#include "common/tunnel/watch.h"
#include "common/wire/ip6.h"

#define PROTO_IP6    41
#define HOP_LIMIT    64 /* RFC 2473 s6.3 */
#define ERRORS_PER_S 100
#define FRAME_MAX    (ETH_HLEN + IP6_HDR_SIZE + 65535)
#define BATCH        64 /* packets taken at one go */

struct slow {
	enum slow_kind kind;
	enum tunnel_role role;
	struct slow_handlers on;
	unsigned ifindex;
	uint8_t mac[6];
	int tap, out, whole, icmp, errors_in, probe; /* -1: not open */
	unsigned probe_oif; /* the interface 'probe' is bound to; 0: none */
	sd_event_source *src[3];
	time_t errors_since;
	unsigned errors;
	uint64_t counts[TUNNEL_N_COUNTS], drops[TUNNEL_N_DROPS];
	uint8_t buf[FRAME_MAX];
};

static struct in6_addr in6_of(const struct ip6 *a)
{
	struct in6_addr r;

	memcpy(&r, a, sizeof(r));
	return r;
}

/* --- sending --- */

union control {
	char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

static void add_pktinfo(struct msghdr *msg, const struct in6_pktinfo *from)
{
	struct cmsghdr *cm = msg->msg_control;

	cm->cmsg_level = IPPROTO_IPV6;
	cm->cmsg_type = IPV6_PKTINFO;
	cm->cmsg_len = CMSG_LEN(sizeof(*from));
	memcpy(CMSG_DATA(cm), from, sizeof(*from));
	msg->msg_controllen = CMSG_SPACE(sizeof(*from));
}

static bool may_send_error(struct slow *s)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	if (ts.tv_sec != s->errors_since) {
		s->errors_since = ts.tv_sec;
		s->errors = 0;
	}
	return s->errors++ < ERRORS_PER_S;
}

void slow_error(struct slow *s, const struct map_info *info, const struct quote_error *e,
	const void *pkt, size_t size)
{
	struct in6_pktinfo from = {
		.ipi6_addr = in6_of(s->role == TUNNEL_HA ? &info->local : &info->id)};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};
	uint8_t icmp[QUOTE_MIN_MTU];
	union control control = {0};
	int n = quote_write(e, pkt, size, icmp, sizeof(icmp));
	struct iovec iov = {icmp, (size_t)n};
	struct msghdr msg = {.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control};

	memcpy(&to.sin6_addr, (const uint8_t *)pkt + 8, sizeof(to.sin6_addr));
	if (!quote_may_answer(pkt, size) || !addr6_is_routable(&to.sin6_addr) ||
		!may_send_error(s)) {
		s->counts[TUNNEL_COUNT_icmp_limited]++;
		return;
	}
	add_pktinfo(&msg, &from);
	if (sendmsg(s->icmp, &msg, 0) >= 0)
		s->counts[TUNNEL_COUNT_icmp_relayed]++;
}

/* Sends one IPv6 packet, of which 'head' is the header; its payload length is filled in. */
static bool send_part(struct slow *s, const struct map_info *info, struct ip6_hdr *head,
	const struct ip6_frag *frag, const uint8_t *part, size_t n)
{
	struct in6_pktinfo from = {.ipi6_ifindex = info->oif};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = head->ip6_dst};
	size_t frag_size = frag ? sizeof(*frag) : 0;
	struct iovec iov[] = {{head, sizeof(*head)}, {(void *)(uintptr_t)frag, frag_size},
		{(void *)(uintptr_t)part, n}};
	union control control = {0};
	struct msghdr msg = {.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = iov,
		.msg_iovlen = sizeof(iov) / sizeof(iov[0]),
		.msg_control = &control};

	head->ip6_plen = htons((uint16_t)(frag_size + n));
	if (info->oif)
		add_pktinfo(&msg, &from);
	return sendmsg(s->out, &msg, 0) >= 0;
}

/* Sends what follows the outer IPv6 header in fragments, if it has to. */
static bool send_cut(struct slow *s, const struct map_info *info, struct ip6_hdr *head,
	const uint8_t *data, size_t size)
{
	size_t most = (info->mtu - sizeof(*head) - sizeof(struct ip6_frag)) & ~(size_t)7, n;
	struct ip6_frag frag = {.ip6f_nxt = head->ip6_nxt};
	bool ok = true;

	if (!info->mtu || sizeof(*head) + size <= info->mtu)
		return send_part(s, info, head, NULL, data, size);
	s->counts[TUNNEL_COUNT_tx_fragmented]++;
	head->ip6_nxt = IP6_PROTO_FRAG;
	if (getrandom(&frag.ip6f_ident, sizeof(frag.ip6f_ident), 0) < 0)
		return false;
	for (size_t at = 0; ok && at < size; at += n) {
		n = size - at < most ? size - at : most;
		frag.ip6f_offlg = htons((uint16_t)at);
		if (at + n < size)
			frag.ip6f_offlg |= IP6F_MORE_FRAG;
		ok = send_part(s, info, head, &frag, data + at, n);
	}
	return ok;
}

/* 'pkt' has room for a limit's header before it. */
static void send_out(struct slow *s, const struct map_info *info, const struct slow_head *head,
	uint8_t *pkt, size_t size)
{
	uint8_t limit[SLOW_LIMIT_SIZE] = {PROTO_IP6, 0, 4, 1, head->limit, 1, 1, 0}; /* s5.1 */
	struct ip6_hdr outer = {.ip6_hlim = HOP_LIMIT,
		.ip6_nxt = head->has_limit ? IP6_PROTO_DSTOPT : PROTO_IP6,
		.ip6_src = in6_of(&info->local),
		.ip6_dst = in6_of(&info->remote)};

	memcpy(&outer.ip6_flow, pkt, sizeof(outer.ip6_flow));
	outer.ip6_flow &= htonl(0xfff00000); /* traffic class as inside, flow label 0 */
	if (head->has_limit) {
		pkt -= sizeof(limit);
		size += sizeof(limit);
		memcpy(pkt, limit, sizeof(limit));
	}
	if (!send_cut(s, info, &outer, pkt, size))
		s->drops[TUNNEL_DROP_tx_no_route]++;
}

static void on_handed(struct slow *s, uint8_t *frame, size_t n)
{
	uint8_t *pkt = frame + ETH_HLEN;
	struct slow_head head;
	struct map_info info;
	struct quote_error e;
	unsigned overhead;
	size_t size;

	if (n < ETH_HLEN + IP6_HDR_SIZE || pkt[0] >> 4 != 6)
		return;
	size = IP6_HDR_SIZE + ((size_t)pkt[4] << 8 | pkt[5]);
	if (n - ETH_HLEN < size)
		return;
	memcpy(&head, frame, sizeof(head));
	if (s->kind == SLOW_TUN && !s->on.look(s->on.arg, pkt, size, &head))
		return;
	if (!s->on.find(s->on.arg, head.number, &info))
		return;
	overhead = TUNNEL_OVERHEAD + (head.has_limit ? SLOW_LIMIT_SIZE : 0);
	if (head.why == SLOW_LIMIT) {
		e = (struct quote_error){QUOTE_PARAM_PROBLEM, 0, head.pointer};
		slow_error(s, &info, &e, pkt, size);
	} else if (size > QUOTE_MIN_MTU && info.mtu && size + overhead > info.mtu) {
		if (s->kind == SLOW_TUN)
			s->drops[TUNNEL_DROP_tx_too_big]++;
		e = (struct quote_error){QUOTE_TOO_BIG, 0, info.mtu - overhead};
		if (info.mtu < QUOTE_MIN_MTU + overhead)
			e.param = QUOTE_MIN_MTU;
		slow_error(s, &info, &e, pkt, size);
	} else {
		send_out(s, &info, &head, pkt, size);
	}
}

/* --- receiving --- */

static int on_tap(sd_event_source *src, int fd, uint32_t revents, void *arg)
{
	struct slow *s = arg;
	size_t missing = s->kind == SLOW_TUN ? ETH_HLEN : 0; /* octets before the IPv6 header */
	ssize_t n = 0;

	(void)revents;
	for (int i = 0; i < BATCH; i++) {
		n = read(fd, s->buf + missing, sizeof(s->buf) - missing);
		if (n < 0)
			break;
		on_handed(s, s->buf, (size_t)n + missing);
	}
	if (n < 0 && errno == EBADFD) /* it would be readable for ever */
		tunnel_watch_end(
			sd_event_source_get_event(src), "the device for slow packets", "deleted");
	return 0;
}

static int on_icmp(sd_event_source *src, int fd, uint32_t revents, void *arg)
{
	struct slow *s = arg;
	struct quote q;
	ssize_t n;

	(void)src, (void)revents;
	for (int i = 0; i < BATCH; i++) {
		n = recv(fd, s->buf, sizeof(s->buf), 0);
		if (n < 0)
			break;
		if (quote_read(s->buf, (size_t)n, &q))
			s->on.error(s->on.arg, NULL, &q);
	}
	return 0;
}

/* The same from a packet socket: whole packets, which nobody has checked. */
static int on_errors_in(sd_event_source *src, int fd, uint32_t revents, void *arg)
{
	struct slow *s = arg;
	struct ip6_pkt p;
	struct quote q;
	ssize_t n;

	(void)src, (void)revents;
	for (int i = 0; i < BATCH; i++) {
		n = recv(fd, s->buf, sizeof(s->buf), 0);
		if (n < 0)
			break;
		if (ip6_decode(s->buf, (size_t)n, &p) == IP6_OK && p.proto == IPPROTO_ICMPV6 &&
			quote_read(p.payload, p.payload_size, &q) &&
			ip6_csum(&p.src, &p.dst, p.proto, p.payload, p.payload_size) == 0)
			s->on.error(s->on.arg, &p.dst, &q);
	}
	return 0;
}

/* A tunnel packet that the kernel has put together, without its IPv6 header: goes back to the
 * program that would have taken it whole. */
static void put_back(struct slow *s, const struct msghdr *msg, size_t n)
{
	const struct sockaddr_in6 *from = msg->msg_name;
	struct ethhdr eth = {.h_proto = htons(ETH_P_IPV6)};
	struct ip6_hdr ip = {
		.ip6_plen = htons((uint16_t)n), .ip6_hlim = HOP_LIMIT, .ip6_src = from->sin6_addr};
	uint8_t *payload = s->buf + sizeof(eth) + sizeof(ip);
	struct in6_pktinfo to = {0};
	int tclass = 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm;
		cm = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, cm)) {
		if (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_PKTINFO)
			memcpy(&to, CMSG_DATA(cm), sizeof(to));
		else if (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_TCLASS)
			memcpy(&tclass, CMSG_DATA(cm), sizeof(tclass));
	}
	if (n < 1 || n > UINT16_MAX)
		return;
	ip.ip6_dst = to.ipi6_addr;
	ip.ip6_flow = htonl(6u << 28 | (uint32_t)(tclass & 0xff) << 20);
	/* Destination options came between: their first octet says so, an IPv6 packet's never. */
	ip.ip6_nxt = payload[0] == PROTO_IP6 ? IP6_PROTO_DSTOPT : PROTO_IP6;
	memcpy(eth.h_dest, s->mac, sizeof(eth.h_dest));
	memcpy(s->buf, &eth, sizeof(eth));
	memcpy(s->buf + sizeof(eth), &ip, sizeof(ip));
	if (write(s->tap, s->buf, sizeof(eth) + sizeof(ip) + n) >= 0)
		s->counts[TUNNEL_COUNT_rx_reassembled]++;
}

static int on_whole(sd_event_source *src, int fd, uint32_t revents, void *arg)
{
	struct slow *s = arg;
	struct sockaddr_in6 from;
	union control control;
	size_t head = ETH_HLEN + IP6_HDR_SIZE;
	ssize_t n;

	(void)src, (void)revents;
	for (int i = 0; i < BATCH; i++) {
		struct iovec iov = {s->buf + head, sizeof(s->buf) - head};
		struct msghdr msg = {.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};

		n = recvmsg(fd, &msg, 0);
		if (n < 0)
			break;
		put_back(s, &msg, (size_t)n);
	}
	return 0;
}

/* --- open and close --- */

static int tap_open(struct slow *s, const struct tunnel_dev *dev, const char *name, char *why)
{
	struct ifreq req = {
		.ifr_flags = (short)((s->kind == SLOW_TUN ? IFF_TUN : IFF_TAP) | IFF_NO_PI)};

	s->tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%.10s-slow", name);
	if (s->tap < 0 || ioctl(s->tap, TUNSETIFF, &req) < 0) {
		int r = -errno;

		snprintf(why, WHY_SIZE, "device %s: %s", req.ifr_name, strerror(-r));
		return r;
	}
	return tunnel_dev_second(dev, req.ifr_name, s->kind == SLOW_TAP, &s->ifindex, why);
}

static int raw_open(int *fd, int proto)
{
	*fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
	return *fd < 0 ? -errno : 0;
}

static int option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Takes in errors whose quoted packet has a tunnel's next header. */
static int icmp_open(struct slow *s)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), /* type */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, QUOTE_UNREACHABLE, 0, 6),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, QUOTE_PARAM_PROBLEM, 5, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8 + 6), /* quoted next header */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROTO_IP6, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_DSTOPT, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_FRAG, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};
	int r = raw_open(&s->icmp, IPPROTO_ICMPV6);

	if (r == 0 && setsockopt(s->icmp, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		r = -errno;
	return r == 0 ? option(s->icmp, IPPROTO_IPV6, IPV6_FREEBIND, 1) : r;
}

/* Takes in errors for this host as they arrive, before any rule of the firewall. */
static int errors_in_open(struct slow *s)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 6),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* next header */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IP6_HDR_SIZE), /* type */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, QUOTE_UNREACHABLE, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, QUOTE_PARAM_PROBLEM, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	s->errors_in = socket(
		AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_IPV6));
	if (s->errors_in < 0 ||
		setsockopt(s->errors_in, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	return 0;
}

static int whole_open(struct slow *s)
{
	int r = raw_open(&s->whole, SLOW_PROTO);

	if (r == 0)
		r = option(s->whole, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return r == 0 ? option(s->whole, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) : r;
}

static int listen_all(struct slow *s, sd_event *event)
{
	const struct {
		int fd;
		sd_event_io_handler_t handler;
	} in[] = {{s->tap, on_tap}, {s->whole, on_whole},
		{s->kind == SLOW_TAP ? s->icmp : s->errors_in,
			s->kind == SLOW_TAP ? on_icmp : on_errors_in}};
	int r = 0;

	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]) && r >= 0; i++) {
		if (in[i].fd < 0)
			continue;
		r = sd_event_add_io(event, &s->src[i], in[i].fd, EPOLLIN, in[i].handler, s);
		/* After signalling and timers: a flood here must not hold those up. */
		if (r >= 0)
			r = sd_event_source_set_priority(s->src[i], SD_EVENT_PRIORITY_IDLE);
	}
	return r;
}

int slow_open(struct slow **out, enum slow_kind kind, const struct tunnel_dev *dev,
	const struct tunnel_conf *conf, const struct slow_handlers *on, char *why)
{
	struct slow *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		snprintf(why, WHY_SIZE, "out of memory");
		return -ENOMEM;
	}
	s->kind = kind;
	s->role = conf->role;
	s->on = *on;
	memcpy(s->mac, dev->mac, sizeof(s->mac));
	s->tap = s->out = s->whole = s->icmp = s->errors_in = -1;
	s->probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	*why = '\0';
	r = s->probe < 0 ? -errno : tap_open(s, dev, conf->dev, why);
	if (r == 0)
		r = raw_open(&s->out, IPPROTO_RAW);
	if (r == 0)
		r = kind == SLOW_TAP ? whole_open(s) : errors_in_open(s);
	if (r == 0)
		r = icmp_open(s);
	if (r == 0)
		r = listen_all(s, conf->event);
	if (r < 0) {
		if (!*why)
			snprintf(why, WHY_SIZE, "raw sockets: %s", strerror(-r));
		slow_close(s);
		return r;
	}
	*out = s;
	return 0;
}

unsigned slow_ifindex(const struct slow *s)
{
	return s ? s->ifindex : 0;
}

uint64_t *slow_counts(struct slow *s)
{
	return s->counts;
}

uint64_t *slow_drops(struct slow *s)
{
	return s->drops;
}

void slow_add_counters(const struct slow *s, struct tunnel_counters *out)
{
	for (int i = 0; s && i < TUNNEL_N_COUNTS; i++)
		out->count[i] += s->counts[i];
	for (int i = 0; s && i < TUNNEL_N_DROPS; i++)
		out->drop[i] += s->drops[i];
}

unsigned slow_path_mtu(struct slow *s, const struct ip6 *remote, unsigned oif)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = in6_of(remote)};
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	socklen_t size = sizeof(int);
	int mtu = 0, ifindex = (int)oif; /* 0: any */

	to.sin6_port = htons(9); /* nothing is sent */
	if (oif != s->probe_oif &&
		setsockopt(s->probe, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) == 0)
		s->probe_oif = oif;
	if (oif != s->probe_oif || connect(s->probe, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		getsockopt(s->probe, IPPROTO_IPV6, IPV6_MTU, &mtu, &size) < 0)
		mtu = 0;
	connect(s->probe, &none, sizeof(none)); /* or the next connect() keeps this source */
	return (unsigned)mtu;
}

void slow_close(struct slow *s)
{
	const int fds[] = {s ? s->tap : -1, s ? s->out : -1, s ? s->whole : -1, s ? s->icmp : -1,
		s ? s->errors_in : -1, s ? s->probe : -1};

	if (!s)
		return;
	for (size_t i = 0; i < sizeof(s->src) / sizeof(s->src[0]); i++)
		sd_event_source_disable_unref(s->src[i]);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(s);
}
