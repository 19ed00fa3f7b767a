/* sig.c - signalling capture in two ways (bpf/sig.bpf.c with its ring buffer; packet sockets and
 * an nftables rule that hides the packets from the kernel), and sending of complete packets. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>
#include "common/core/addr.h"
#include "common/os/bpf/sig_map.h"
#include "common/os/log.h"
#include "common/os/sig.h"
#include "common/os/undone.h"
#include "common/wire/ip6.h"
#include "sig.skel.h"

#define TC_HANDLE   1
#define TC_PRIORITY 135 /* before the tunnel's program */
#define MAX_LINKS   16
#define MAX_WALK    6 /* extension headers, as in bpf/sig.bpf.c */
#define OPT_PAD1    0
#define OPT_HAO     0xc9
#define ICMP_FIRST  144 /* RFC 6275 s6.5-6.8 */
#define ICMP_LAST   147
#define RCVBUF      (16 << 20) /* octets */
#define BUDGET      64         /* packets of one ring or socket before others get their turn */
#define CROWD       100        /* sd-event priority of those who wait: behind everything else */

struct link {
	unsigned ifindex;
	int fd;               /* packet socket, owned; -1 in SIG_BPF mode */
	sd_event_source *src; /* owned */
	struct sig *sig;
};

struct local { /* SIG_PACKET: the addresses in the nftables set */
	struct in6_addr addr;
	UT_hash_handle hh;
};

struct sig {
	enum sig_mode mode;
	sd_event *event; /* borrowed */
	sig_rx_fn *rx;
	void *arg;
	int send_fd;
	struct sig_counters n;
	uint32_t take; /* SIG_TAKE_* */
	unsigned n_links;
	struct link links[MAX_LINKS];
	/* SIG_BPF */
	struct sig_bpf *bpf;
	struct undone *undone; /* owned */
	struct ring {
		struct sig *sig;
		struct ring_buffer *buf; /* owned */
		sd_event_source *src;
		unsigned left; /* of BUDGET */
	} ring, crowd;
	/* SIG_PACKET */
	struct nft_ctx *nft;
	struct local *locals;
};

/* --- SIG_BPF --- */

/* -ECANCELED: enough for now, the rest stays in the ring. */
static int on_ring_packet(void *arg, void *data, size_t size)
{
	const struct sig_packet *p = data;
	struct ring *ring = arg;
	struct sig *sig = ring->sig;

	if (size >= offsetof(struct sig_packet, data) &&
		p->size <= size - offsetof(struct sig_packet, data)) {
		sig->n.rx++;
		sig->rx(sig->arg, p->data, p->size, p->ifindex);
	}
	return --ring->left ? 0 : -ECANCELED;
}

static int on_ring(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct ring *ring = arg;

	(void)s, (void)fd, (void)revents;
	ring->left = BUDGET;
	ring_buffer__consume(ring->buf);
	return 0;
}

static int ring_open(struct sig *sig, struct ring *ring, const struct bpf_map *map, int priority)
{
	int rc;

	ring->sig = sig;
	ring->buf = ring_buffer__new(bpf_map__fd(map), on_ring_packet, ring, NULL);
	if (!ring->buf)
		return -errno;
	rc = sd_event_add_io(
		sig->event, &ring->src, ring_buffer__epoll_fd(ring->buf), EPOLLIN, on_ring, ring);
	return rc < 0 ? rc : sd_event_source_set_priority(ring->src, priority);
}

static void ring_close(struct ring *ring)
{
	sd_event_source_disable_unref(ring->src);
	ring_buffer__free(ring->buf);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap; /* errors come back as results */
	return 0;
}

static int bpf_attach(struct sig *sig, struct link *link)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)link->ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		.prog_fd = bpf_program__fd(sig->bpf->progs.sig_capture), .flags = BPF_TC_F_REPLACE);
	int rc = bpf_tc_hook_create(&hook);

	return rc < 0 && rc != -EEXIST ? rc : bpf_tc_attach(&hook, &opts);
}

/* Somebody removed tc programs: ours, too? */
static void on_programs(void *arg, unsigned ifindex)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	struct sig *sig = arg;
	char name[IFNAMSIZ];

	for (struct link *link = sig->links; link < sig->links + sig->n_links; link++) {
		DECLARE_LIBBPF_OPTS(
			bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);
		int rc;

		if (link->ifindex != ifindex || bpf_tc_query(&hook, &opts) == 0)
			continue;
		rc = bpf_attach(sig, link);
		if (rc >= 0)
			log_warn("signalling capture: somebody removed it at %s, it is back",
				if_indextoname(ifindex, name) ? name : "an interface");
		else if (rc != -ENODEV)
			log_err("signalling capture: somebody removed it at %s, and it can't be "
				"put again: %s",
				if_indextoname(ifindex, name) ? name : "an interface",
				strerror(-rc));
	}
}

static int bpf_open(struct sig *sig, bool ha)
{
	const struct undone_handlers undone = {.programs = on_programs, .arg = sig};
	int rc;

	libbpf_set_print(quiet);
	sig->bpf = sig_bpf__open();
	if (!sig->bpf)
		return -errno;
	if (!ha) { /* the least that the kernel makes */
		bpf_map__set_max_entries(sig->bpf->maps.crowd, (uint32_t)getpagesize());
		bpf_map__set_max_entries(sig->bpf->maps.homes, 1);
	}
	rc = sig_bpf__load(sig->bpf);
	if (rc >= 0)
		rc = undone_open(&sig->undone, sig->event, &undone);
	if (rc >= 0)
		rc = ring_open(sig, &sig->ring, sig->bpf->maps.ring, SD_EVENT_PRIORITY_NORMAL);
	return rc < 0 || !ha ? rc : ring_open(sig, &sig->crowd, sig->bpf->maps.crowd, CROWD);
}

static void bpf_detach(struct link *link)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)link->ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	if (link->ifindex)
		bpf_tc_detach(&hook, &opts);
}

/* --- SIG_PACKET --- */

static bool has_hao(const uint8_t *h, size_t size)
{
	for (size_t i = 2; i + 1 < size; i += h[i] == OPT_PAD1 ? 1 : 2u + h[i + 1]) {
		if (h[i] == OPT_HAO)
			return true;
	}
	return false;
}

static bool is_plain(uint8_t next)
{
	return next != IP6_PROTO_MH && next != IP6_PROTO_ESP && next != IP6_PROTO_AH;
}

/* The same question as in bpf/sig.bpf.c, answered from memory. */
static bool is_signalling(const uint8_t *pkt, size_t size, uint32_t take)
{
	size_t off = IP6_HDR_SIZE, header;
	uint8_t next = pkt[6];
	uint32_t found = 0;

	for (int i = 0; i <= MAX_WALK; i++) {
		if (next == IP6_PROTO_MH)
			return true;
		if (next == IP6_PROTO_ESP)
			return found || (take & SIG_TAKE_ESP) ||
			       ((take & SIG_TAKE_ESP_LOW) && off < size && !(pkt[off] & 0x80));
		if (next == IPPROTO_ICMPV6 && off < size && pkt[off] >= ICMP_FIRST &&
			pkt[off] <= ICMP_LAST)
			return true;
		if (next == IP6_PROTO_FRAG && (found & take))
			return off < size && is_plain(pkt[off]);
		if (next != IP6_PROTO_HBH && next != IP6_PROTO_RH && next != IP6_PROTO_DSTOPT)
			return is_plain(next) && (found & take);
		if (off + 8 > size)
			return false;
		header = (pkt[off + 1] + 1u) * 8;
		if (off + header > size)
			return false;
		if (next == IP6_PROTO_DSTOPT)
			found |= has_hao(pkt + off, header) ? SIG_TAKE_HAO : 0;
		else if (next == IP6_PROTO_RH)
			found |= pkt[off + 2] == 2 ? SIG_TAKE_RH2 : 0;
		next = pkt[off];
		off += header;
	}
	return false;
}

static void count_lost(struct sig *sig, int fd)
{
	struct tpacket_stats st;
	socklen_t size = sizeof(st);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &size) == 0)
		sig->n.lost += st.tp_drops;
}

static void take_packet(struct link *link, const uint8_t *pkt, size_t size)
{
	struct sig *sig = link->sig;
	struct local *local;
	struct in6_addr dst;

	memcpy(&dst, pkt + 24, sizeof(dst));
	HASH_FIND(hh, sig->locals, &dst, sizeof(dst), local);
	if (!local || !is_signalling(pkt, size < IP6_SIG_MAX ? size : IP6_SIG_MAX, sig->take))
		return;
	if (size > IP6_SIG_MAX) {
		sig->n.lost++;
		return;
	}
	sig->n.rx++;
	sig->rx(sig->arg, pkt, size, link->ifindex);
}

static int on_socket(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	uint8_t pkt[IP6_SIG_MAX];
	struct link *link = arg;
	struct sockaddr_ll from;

	(void)s, (void)revents;
	for (unsigned i = 0; i < BUDGET; i++) {
		socklen_t from_size = sizeof(from);
		ssize_t n = recvfrom(
			fd, pkt, sizeof(pkt), MSG_TRUNC, (struct sockaddr *)&from, &from_size);

		if (n < 0)
			break;
		if (n >= IP6_HDR_SIZE && from.sll_pkttype == PACKET_HOST)
			take_packet(link, pkt, (size_t)n);
	}
	return 0;
}

static int nft(struct sig *sig, const char *cmd)
{
	return nft_run_cmd_from_buffer(sig->nft, cmd) ? -EIO : 0;
}

/* The first line makes the second one work; together they start from an empty table. */
#define NFT_CLEAR "add table ip6 nemo_sig\ndelete table ip6 nemo_sig\n"
#define NFT_TABLE \
	NFT_CLEAR "table ip6 nemo_sig {\n" \
		  "	set locals { type ipv6_addr; }\n" \
		  "	chain prerouting {\n" \
		  "		type filter hook prerouting priority raw; policy accept;\n" \
		  "		ip6 daddr @locals meta l4proto 135 counter drop\n" \
		  "		ip6 daddr @locals icmpv6 type 144-147 counter drop\n" \
		  "		ip6 daddr @locals meta l4proto 50 rt type 2 counter drop\n" \
		  "		ip6 daddr @locals meta l4proto 50 exthdr dst exists counter " \
		  "drop\n" \
		  "	}\n" \
		  "}\n"

static int packet_open(struct sig *sig, char *why)
{
	sig->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!sig->nft)
		return -ENOMEM;
	nft_ctx_buffer_error(sig->nft);
	nft_ctx_buffer_output(sig->nft);
	if (nft(sig, NFT_TABLE) < 0) {
		snprintf(why, WHY_SIZE, "nftables: %.200s", nft_ctx_get_error_buffer(sig->nft));
		return -EIO;
	}
	return 0;
}

/* Lets in what could be signalling; on_socket() looks closer. */
static int packet_filter(int fd)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* Next Header */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_MH, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_DSTOPT, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_RH, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_HBH, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP6_PROTO_ESP, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int packet_attach(struct sig *sig, struct link *link)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IPV6),
		.sll_ifindex = (int)link->ifindex};
	int size = RCVBUF, rc;

	/* Protocol 0: nothing is queued before the filter stands. */
	link->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return -errno;
	setsockopt(link->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	rc = packet_filter(link->fd);
	if (rc >= 0 && bind(link->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		rc = -errno;
	if (rc >= 0)
		rc = sd_event_add_io(sig->event, &link->src, link->fd, EPOLLIN, on_socket, link);
	if (rc < 0)
		close(link->fd);
	return rc < 0 ? rc : 0;
}

static void packet_detach(struct link *link)
{
	sd_event_source_disable_unref(link->src);
	if (link->fd >= 0)
		close(link->fd);
}

static int nft_element(struct sig *sig, const char *verb, const struct in6_addr *addr)
{
	char cmd[128], text[INET6_ADDRSTRLEN];

	snprintf(cmd, sizeof(cmd), "%s element ip6 nemo_sig locals { %s }", verb,
		addr6_str(addr, text));
	return nft(sig, cmd);
}

static int packet_local_put(struct sig *sig, const struct in6_addr *addr)
{
	struct local *local;
	int rc;

	HASH_FIND(hh, sig->locals, addr, sizeof(*addr), local);
	if (local)
		return 0;
	local = calloc(1, sizeof(*local));
	if (!local)
		return -ENOMEM;
	local->addr = *addr;
	rc = nft_element(sig, "add", addr);
	if (rc < 0)
		free(local);
	else
		HASH_ADD(hh, sig->locals, addr, sizeof(local->addr), local);
	return rc;
}

static int packet_local_drop(struct sig *sig, const struct in6_addr *addr)
{
	struct local *local;

	HASH_FIND(hh, sig->locals, addr, sizeof(*addr), local);
	if (!local)
		return 0;
	HASH_DEL(sig->locals, local);
	free(local);
	return nft_element(sig, "delete", addr);
}

/* --- both --- */

int sig_open(
	struct sig **out, enum sig_mode mode, sd_event *event, sig_rx_fn *rx, void *arg, char *why)
{
	struct sig *sig = calloc(1, sizeof(*sig));
	int rc;

	*why = '\0';
	if (!sig) {
		snprintf(why, WHY_SIZE, "out of memory");
		return -ENOMEM;
	}
	sig->mode = mode == SIG_PACKET ? SIG_PACKET : SIG_BPF;
	sig->event = event;
	sig->rx = rx;
	sig->arg = arg;
	sig->send_fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	if (sig->send_fd < 0)
		rc = -errno;
	else
		rc = mode == SIG_PACKET ? packet_open(sig, why) : bpf_open(sig, mode == SIG_BPF_HA);
	if (rc < 0) {
		if (!*why)
			snprintf(why, WHY_SIZE, "signalling capture: %s", strerror(-rc));
		sig_close(sig);
		return rc;
	}
	*out = sig;
	return 0;
}

int sig_attach(struct sig *sig, unsigned ifindex)
{
	struct link *link = sig->links, *end = sig->links + sig->n_links;
	char name[IFNAMSIZ];
	int rc;

	/* Its own place, or that of an interface that is gone: a NIC may come and go at each move.
	 */
	while (link < end && link->ifindex != ifindex && if_indextoname(link->ifindex, name))
		link++;
	if (link == sig->links + MAX_LINKS)
		return -ENOSPC;
	if (link < end && sig->mode == SIG_PACKET) {
		if (link->ifindex == ifindex)
			return 0;
		packet_detach(link);
	}
	*link = (struct link){.ifindex = ifindex, .fd = -1, .sig = sig};
	rc = sig->mode == SIG_BPF ? bpf_attach(sig, link) : packet_attach(sig, link);
	if (rc >= 0 && link == end)
		sig->n_links++;
	return rc;
}

void sig_detach(struct sig *sig, unsigned ifindex)
{
	for (struct link *link = sig->links; link < sig->links + sig->n_links; link++) {
		if (link->ifindex != ifindex)
			continue;
		if (sig->mode == SIG_BPF)
			bpf_detach(link);
		else
			packet_detach(link);
		*link = (struct link){.fd = -1, .sig = sig}; /* a place for another */
	}
}

int sig_local_put(struct sig *sig, const struct in6_addr *addr)
{
	uint32_t yes = 1;

	if (sig->mode == SIG_PACKET)
		return packet_local_put(sig, addr);
	return bpf_map_update_elem(bpf_map__fd(sig->bpf->maps.locals), addr, &yes, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

int sig_local_drop(struct sig *sig, const struct in6_addr *addr)
{
	if (sig->mode == SIG_PACKET)
		return packet_local_drop(sig, addr);
	if (bpf_map_delete_elem(bpf_map__fd(sig->bpf->maps.locals), addr) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

void sig_home_drop(struct sig *sig, const struct in6_addr *hoa)
{
	if (sig->mode != SIG_PACKET)
		bpf_map_delete_elem(bpf_map__fd(sig->bpf->maps.homes), hoa);
}

int sig_homes_put(struct sig *sig, const struct in6_addr *hoas, unsigned n)
{
	struct sig_home *homes;
	__u32 done = n;
	int r = 0;

	if (sig->mode == SIG_PACKET || !n)
		return 0; /* one queue: no program, no second one */
	homes = calloc(n, sizeof(*homes));
	if (!homes)
		return -ENOMEM;
	if (bpf_map_update_batch(bpf_map__fd(sig->bpf->maps.homes), hoas, homes, &done, NULL) < 0)
		r = -errno;
	free(homes);
	sig->bpf->bss->sorts = 1;
	return r;
}

/* The option stands at 8n + 6, so this is its place if nothing but padding comes before it. */
#define NFT_HAO \
	"add rule ip6 nemo_sig prerouting ip6 daddr @locals ip6 nexthdr 60 @nh,368,8 0xc9 " \
	"meta l4proto != 51 counter drop\n"
#define NFT_RH2 \
	"add rule ip6 nemo_sig prerouting ip6 daddr @locals rt type 2 meta l4proto != 51 " \
	"counter drop\n"

#define NFT_ESP "add rule ip6 nemo_sig prerouting ip6 daddr @locals meta l4proto 50 counter drop\n"
#define NFT_ESP_LOW \
	"add rule ip6 nemo_sig prerouting ip6 daddr @locals meta l4proto 50 @th,0,1 0 counter " \
	"drop\n"

int sig_take(struct sig *sig, uint32_t what)
{
	int rc = 0;

	sig->take |= what;
	if (sig->mode == SIG_BPF)
		sig->bpf->bss->take = sig->take;
	if (sig->mode == SIG_PACKET && (what & SIG_TAKE_HAO))
		rc = nft(sig, NFT_HAO);
	if (sig->mode == SIG_PACKET && rc == 0 && (what & SIG_TAKE_RH2))
		rc = nft(sig, NFT_RH2);
	if (sig->mode == SIG_PACKET && rc == 0 && (what & SIG_TAKE_ESP))
		rc = nft(sig, NFT_ESP);
	if (sig->mode == SIG_PACKET && rc == 0 && (what & SIG_TAKE_ESP_LOW))
		rc = nft(sig, NFT_ESP_LOW);
	return rc;
}

int sig_deliver(struct sig *sig, const void *pkt, size_t size)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};

	memcpy(&to.sin6_addr, (const uint8_t *)pkt + 24, sizeof(to.sin6_addr));
	return sendto(sig->send_fd, pkt, size, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno
											  : 0;
}

int sig_send(struct sig *sig, const void *pkt, size_t size, unsigned oif)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control = {0};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};
	struct in6_pktinfo info = {.ipi6_ifindex = oif};
	struct iovec iov = {(void *)(uintptr_t)pkt, size};
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm;

	if (size < IP6_HDR_SIZE)
		return -EINVAL;
	memcpy(&to.sin6_addr, (const uint8_t *)pkt + 24, sizeof(to.sin6_addr));
	if (addr6_is_link_local(&to.sin6_addr))
		to.sin6_scope_id = oif;
	if (oif) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = IPPROTO_IPV6;
		cm->cmsg_type = IPV6_PKTINFO;
		cm->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cm), &info, sizeof(info));
	}
	if (sendmsg(sig->send_fd, &msg, 0) < 0) {
		sig->n.tx_errors++;
		return -errno;
	}
	sig->n.tx++;
	return 0;
}

void sig_counters(struct sig *sig, struct sig_counters *out)
{
	for (unsigned i = 0; sig->mode == SIG_PACKET && i < sig->n_links; i++)
		count_lost(sig, sig->links[i].fd);
	*out = sig->n;
	if (sig->mode == SIG_BPF)
		out->lost += sig->bpf->bss->lost;
}

void sig_close(struct sig *sig)
{
	struct local *local, *next;

	if (!sig)
		return;
	for (unsigned i = 0; i < sig->n_links; i++) {
		if (sig->mode == SIG_BPF)
			bpf_detach(&sig->links[i]);
		else
			packet_detach(&sig->links[i]);
	}
	undone_close(sig->undone);
	ring_close(&sig->ring);
	ring_close(&sig->crowd);
	sig_bpf__destroy(sig->bpf);
	if (sig->nft) {
		nft(sig, NFT_CLEAR);
		nft_ctx_free(sig->nft);
	}
	HASH_ITER (hh, sig->locals, local, next) {
		HASH_DEL(sig->locals, local);
		free(local);
	}
	if (sig->send_fd >= 0)
		close(sig->send_fd);
	free(sig);
}
