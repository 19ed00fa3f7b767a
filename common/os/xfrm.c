/* xfrm.c - XFRM netlink by libmnl. */
#include "common/os/log.h"
#include "common/os/xfrm.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/core/addr.h"

#define BUF_SIZE   8192
#define ICV_BITS   128
#define KEY_SIZE   36   /* AES-256 and salt */
#define WINDOW     1024 /* packets; a fast link reorders a lot */
#define IPIP6      41
#define REQID_MASK 0xff000000u
#define CIPHER     "rfc4106(gcm(aes))"

struct xfrm {
	struct mnl_socket *nl;
	unsigned seq;
	char buf[BUF_SIZE]; /* holds keys for a moment */
};

/* --- requests --- */

static struct nlmsghdr *begin(struct xfrm *x, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(x->buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = ++x->seq;
	return h;
}

/* Sends it and calls 'cb' for each object of the answer. */
static int ask(struct xfrm *x, struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	unsigned port = mnl_socket_get_portid(x->nl);
	ssize_t n = mnl_socket_sendto(x->nl, h, h->nlmsg_len);
	int r = n < 0 ? -errno : 1;

	OPENSSL_cleanse(x->buf, h->nlmsg_len);
	while (r > 0) {
		n = mnl_socket_recvfrom(x->nl, x->buf, sizeof(x->buf));
		r = n < 0 ? -1 : mnl_cb_run(x->buf, (size_t)n, x->seq, port, cb, arg);
		if (r < 0)
			r = -errno;
	}
	OPENSSL_cleanse(x->buf, sizeof(x->buf)); /* a dump shows keys */
	return r;
}

static int request(struct xfrm *x, struct nlmsghdr *h)
{
	h->nlmsg_flags |= NLM_F_ACK;
	return ask(x, h, NULL, NULL);
}

static void put_addr(xfrm_address_t *to, const struct in6_addr *from)
{
	memcpy(to, from, sizeof(*from));
}

/* Netlink aligns to four octets, these structs want eight. */
static void put_header(struct nlmsghdr *h, const void *s, size_t size)
{
	memcpy(mnl_nlmsg_put_extra_header(h, size), s, size);
}

static bool get_header(const struct nlmsghdr *h, void *s, size_t size)
{
	if (h->nlmsg_len < mnl_nlmsg_size(size))
		return false;
	memcpy(s, mnl_nlmsg_get_payload(h), size);
	return true;
}

static struct xfrm_lifetime_cfg forever(void)
{
	return (struct xfrm_lifetime_cfg){XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
}

/* --- associations --- */

static void put_key(struct nlmsghdr *h, const struct esp_sa *keys)
{
	union {
		struct xfrm_algo_aead aead;
		char room[sizeof(struct xfrm_algo_aead) + KEY_SIZE];
	} a = {.aead = {.alg_name = CIPHER, .alg_key_len = KEY_SIZE * 8, .alg_icv_len = ICV_BITS}};

	memcpy(a.room + offsetof(struct xfrm_algo_aead, alg_key), keys->enc, 32);
	memcpy(a.room + offsetof(struct xfrm_algo_aead, alg_key) + 32, keys->salt, 4);
	mnl_attr_put(h, XFRMA_ALG_AEAD, offsetof(struct xfrm_algo_aead, alg_key) + KEY_SIZE, &a);
	OPENSSL_cleanse(&a, sizeof(a));
}

/* 64-bit numbers: 32 of them would be used up within the hour on a fast link. */
static void put_replay(struct nlmsghdr *h)
{
	union {
		struct xfrm_replay_state_esn esn;
		char room[sizeof(struct xfrm_replay_state_esn) + WINDOW / 8];
	} r = {.esn = {.bmp_len = WINDOW / 32, .replay_window = WINDOW}};

	mnl_attr_put(
		h, XFRMA_REPLAY_ESN_VAL, sizeof(struct xfrm_replay_state_esn) + WINDOW / 8, &r);
}

int xfrm_sa_put(struct xfrm *x, const struct in6_addr *src, const struct in6_addr *dst,
	uint32_t reqid, const struct esp_sa *keys)
{
	struct nlmsghdr *h = begin(x, XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL);
	struct xfrm_usersa_info sa = {.id = {.spi = htonl(keys->spi), .proto = IPPROTO_ESP},
		.sel.family = AF_INET6,
		.family = AF_INET6,
		.lft = forever(),
		.reqid = reqid,
		.mode = XFRM_MODE_TRANSPORT,
		.flags = XFRM_STATE_ESN};

	put_addr(&sa.id.daddr, dst);
	put_addr(&sa.saddr, src);
	put_header(h, &sa, sizeof(sa));
	put_key(h, keys);
	put_replay(h);
	return request(x, h);
}

int xfrm_sa_drop(struct xfrm *x, const struct in6_addr *dst, uint32_t spi)
{
	struct nlmsghdr *h = begin(x, XFRM_MSG_DELSA, 0);
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(h, sizeof(*id));
	int r;

	put_addr(&id->daddr, dst);
	id->spi = htonl(spi);
	id->family = AF_INET6;
	id->proto = IPPROTO_ESP;
	r = request(x, h);
	return r == -ESRCH ? 0 : r;
}

/* --- policies --- */

static void selector(
	struct xfrm_selector *s, const struct in6_addr *src, const struct in6_addr *dst)
{
	s->family = AF_INET6;
	put_addr(&s->saddr, src);
	put_addr(&s->daddr, dst);
	s->prefixlen_s = s->prefixlen_d = 128;
	s->proto = IPIP6;
}

static int policy_put(struct xfrm *x, uint8_t dir, const struct in6_addr *src,
	const struct in6_addr *dst, uint32_t reqid)
{
	struct nlmsghdr *h = begin(x, XFRM_MSG_UPDPOLICY, 0);
	struct xfrm_userpolicy_info p = {
		.lft = forever(), .dir = dir, .action = XFRM_POLICY_ALLOW, .share = XFRM_SHARE_ANY};
	struct xfrm_user_tmpl t = {.family = AF_INET6,
		.reqid = reqid,
		.mode = XFRM_MODE_TRANSPORT,
		.aalgos = UINT32_MAX,
		.ealgos = UINT32_MAX,
		.calgos = UINT32_MAX};

	selector(&p.sel, src, dst);
	put_header(h, &p, sizeof(p));
	t.id.proto = IPPROTO_ESP;
	put_addr(&t.id.daddr, dst);
	put_addr(&t.saddr, src);
	mnl_attr_put(h, XFRMA_TMPL, sizeof(t), &t);
	return request(x, h);
}

static int policy_drop(
	struct xfrm *x, uint8_t dir, const struct in6_addr *src, const struct in6_addr *dst)
{
	struct nlmsghdr *h = begin(x, XFRM_MSG_DELPOLICY, 0);
	struct xfrm_userpolicy_id *p = mnl_nlmsg_put_extra_header(h, sizeof(*p));
	int r;

	selector(&p->sel, src, dst);
	p->dir = dir;
	r = request(x, h);
	return r == -ENOENT ? 0 : r;
}

int xfrm_policy_put(struct xfrm *x, const struct xfrm_pair *pair, uint32_t reqid)
{
	int r = policy_put(x, XFRM_POLICY_OUT, &pair->local, &pair->remote, reqid);

	return r < 0 ? r : policy_put(x, XFRM_POLICY_IN, &pair->remote, &pair->local, reqid);
}

int xfrm_policy_drop(struct xfrm *x, const struct xfrm_pair *pair)
{
	int r = policy_drop(x, XFRM_POLICY_OUT, &pair->local, &pair->remote);
	int r2 = policy_drop(x, XFRM_POLICY_IN, &pair->remote, &pair->local);

	return r < 0 ? r : r2;
}

/* --- what an earlier run left --- */

struct found { /* one of ours */
	struct in6_addr src, dst;
	uint32_t spi;
	uint8_t dir;
};

struct batch { /* as many of them as one dump may bring */
	unsigned n;
	struct found v[256];
};

static struct found *next(struct batch *b)
{
	return b->n < sizeof(b->v) / sizeof(b->v[0]) ? &b->v[b->n++] : NULL;
}

static bool ours(uint32_t reqid)
{
	return (reqid & REQID_MASK) == XFRM_REQID;
}

static int on_sa(const struct nlmsghdr *h, void *arg)
{
	struct xfrm_usersa_info sa;
	struct found *f;

	/* Without an SPI it only says that there should be one; it goes by itself. */
	if (!get_header(h, &sa, sizeof(sa)) || !ours(sa.reqid) || !sa.id.spi ||
		sa.id.proto != IPPROTO_ESP || sa.family != AF_INET6)
		return MNL_CB_OK;
	f = next(arg);
	if (f) {
		memcpy(&f->dst, &sa.id.daddr, sizeof(f->dst));
		f->spi = ntohl(sa.id.spi);
	}
	return MNL_CB_OK;
}

static int on_policy(const struct nlmsghdr *h, void *arg)
{
	struct xfrm_userpolicy_info p;
	const struct nlattr *a;
	struct found *f;

	if (!get_header(h, &p, sizeof(p)))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(p))
	{
		const struct xfrm_user_tmpl *t = mnl_attr_get_payload(a);

		if (mnl_attr_get_type(a) != XFRMA_TMPL ||
			mnl_attr_get_payload_len(a) < sizeof(*t) || !ours(t->reqid))
			continue;
		f = next(arg);
		if (!f)
			break;
		memcpy(&f->src, &p.sel.saddr, sizeof(f->src));
		memcpy(&f->dst, &p.sel.daddr, sizeof(f->dst));
		f->dir = p.dir;
	}
	return MNL_CB_OK;
}

static int find(struct xfrm *x, uint16_t type, mnl_cb_t cb, struct batch *out)
{
	struct nlmsghdr *h = begin(x, type, NLM_F_DUMP);

	memset(out, 0, sizeof(*out));
	mnl_nlmsg_put_extra_header(h, type == XFRM_MSG_GETPOLICY ? sizeof(struct xfrm_userpolicy_id)
								 : sizeof(struct xfrm_usersa_id));
	return ask(x, h, cb, out);
}

static int drop_found(struct xfrm *x, const struct found *f)
{
	return f->spi ? xfrm_sa_drop(x, &f->dst, f->spi) : policy_drop(x, f->dir, &f->src, &f->dst);
}

int xfrm_sweep(struct xfrm *x)
{
	static const struct {
		uint16_t type;
		mnl_cb_t cb;
	} kinds[] = {{XFRM_MSG_GETPOLICY, on_policy}, {XFRM_MSG_GETSA, on_sa}};
	struct batch b;
	int r = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]) && r == 0; k++) {
		do {
			r = find(x, kinds[k].type, kinds[k].cb, &b);
			for (unsigned i = 0; i < b.n && r == 0; i++)
				r = drop_found(x, &b.v[i]);
		} while (r == 0 && b.n == sizeof(b.v) / sizeof(b.v[0]));
	}
	return r;
}

/* --- start --- */

/* An association that nobody uses comes and goes. */
static int try_sa(struct xfrm *x)
{
	struct in6_addr nowhere = {.s6_addr = {0x01, [15] = 1}}; /* 100::1, RFC 6666 */
	struct esp_sa sa = {.spi = 0xffffff00u | (uint8_t)time(NULL)};
	int r = xfrm_sa_put(x, &nowhere, &nowhere, XFRM_REQID, &sa);

	return r < 0 && r != -EEXIST ? r : xfrm_sa_drop(x, &nowhere, sa.spi);
}

int xfrm_open(struct xfrm **out, char *why)
{
	struct xfrm *x = calloc(1, sizeof(*x));
	int r = x ? 0 : -ENOMEM;

	if (r == 0) {
		x->nl = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
		if (!x->nl || mnl_socket_bind(x->nl, 0, MNL_SOCKET_AUTOPID) < 0)
			r = errno == EPROTONOSUPPORT ? -EOPNOTSUPP : -errno;
	}
	if (r == 0)
		r = try_sa(x);
	if (r == -EPROTONOSUPPORT || r == -ENOSYS || r == -ENOENT)
		r = -EOPNOTSUPP;
	if (r == -EOPNOTSUPP)
		snprintf(why, WHY_SIZE,
			"this kernel has no ESP for IPv6 with AES-GCM (modules esp6 and gcm; "
			"CONFIG_INET6_ESP, CONFIG_XFRM_USER, CONFIG_CRYPTO_GCM): take one that "
			"has, as Debian's, or payload = \"none\"");
	else if (r < 0)
		snprintf(why, WHY_SIZE, "XFRM: %s", strerror(-r));
	if (r < 0) {
		xfrm_close(x);
		return r;
	}
	*out = x;
	return 0;
}

int xfrm_probe(char *why)
{
	struct xfrm *x;
	int r = xfrm_open(&x, why);

	if (r == 0)
		xfrm_close(x);
	return r == -EPERM ? 0 : r;
}

void xfrm_close(struct xfrm *x)
{
	if (!x)
		return;
	if (x->nl)
		mnl_socket_close(x->nl);
	free(x);
}
