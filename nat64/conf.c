/* conf.c - the translator's configuration: key table, and what has to fit together (RFC 6052
 * s2.2, s3.1; RFC 6791 s3.1). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/daemon.h"
#include "nat64/conf.h"
#include "nat64/dev.h"
#include "nat64/mappings.h"

static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key)
{
	return nat64_table_find(ctx, key);
}
#include "nat64/core/addr.h"

static const char *const engines[] = {"auto", "ebpf", "tun", NULL};
static const char *const forwards[] = {"direct", "stack", NULL};
static const char *const udp_zeros[] = {"drop", "compute", NULL};
static const char *const hairpins[] = {"off", "simple", "intrinsic", NULL};
static const char *const toses[] = {"copy", "zero", NULL};
static const char *const sides[] = {"ipv6", "ipv4", "both", NULL};

#define PREFIX(type_, member) .type = type_, .off = offsetof(struct nat64_prefix_conf, member)
static const struct conf_key prefix_keys[] = {
	{.name = "prefix",
		PREFIX(CONF_PREFIX6, prefix),
		.required = true,
		.help = "IPv6 prefix that IPv4 addresses are put into: /32, /40, /48, /56, /64 or "
			"/96"},
	{.name = "ipv4",
		PREFIX(CONF_PREFIX4, ipv4),
		.def = "0.0.0.0/0",
		.help = "IPv4 addresses it is for; the longest match over all prefixes decides"},
	{.name = "hosts",
		PREFIX(CONF_PREFIX4S, hosts),
		.max = NAT64_MAX_PREFIXES,
		.elem_size = sizeof(struct prefix4),
		.n_off = offsetof(struct nat64_prefix_conf, n_hosts),
		.help = "IPv4 addresses that stand for IPv6 hosts numbered inside the prefix: "
			"packets to them are drawn"},
	{.name = CONF_LINE_KEY, PREFIX(CONF_UINT, line), .size = 1},
	{.name = NULL},
};

#define MAPPING(type_, member) .type = type_, .off = offsetof(struct nat64_mapping_conf, member)
static const struct conf_key mapping_keys[] = {
	{.name = "ipv4",
		MAPPING(CONF_PREFIX4, ipv4),
		.required = true,
		.help = "IPv4 address or prefix"},
	{.name = "ipv6",
		MAPPING(CONF_PREFIX6, ipv6),
		.bare = true,
		.required = true,
		.help = "IPv6 address or prefix, with as many bits behind it or more"},
	{.name = "side",
		MAPPING(CONF_ENUM, side),
		.def = "ipv6",
		.choices = sides,
		.help = "which is a real host's: ipv6: IPv4 packets to it are drawn; ipv4: IPv6 "
			"packets"},
	{.name = CONF_LINE_KEY, MAPPING(CONF_UINT, line), .size = 1},
	{.name = NULL},
};

#define KEY(type_, member) .type = type_, .off = offsetof(struct nat64_file, member)
#define N(member)          .n_off = offsetof(struct nat64_file, member)
const struct conf_key nat64_conf_keys[] = {
	{.name = "prefixes",
		.live = true,
		KEY(CONF_GROUPS, prefixes),
		.max = NAT64_MAX_PREFIXES,
		.elem_size = sizeof(struct nat64_prefix_conf),
		N(n_prefixes),
		.sub = prefix_keys,
		.help = "RFC 6052 prefixes: packets to them are drawn"},
	{.name = "mappings",
		.live = true,
		KEY(CONF_GROUPS, mappings),
		.elem_size = sizeof(struct nat64_mapping_conf),
		N(n_mappings),
		.sub = mapping_keys,
		.help = "explicit mappings, before prefixes; longest match"},
	{.name = "mappings_file",
		.live = true,
		KEY(CONF_STRING, mappings_file),
		.size = 256,
		.help = "more of them, a line each: IPV4 IPV6 [ipv6|ipv4|both], # comments"},
	{.name = "engine",
		KEY(CONF_ENUM, engine),
		.def = "auto",
		.choices = engines,
		.help = "auto: ebpf if there are interfaces and the kernel can, else tun"},
	{.name = "interfaces",
		KEY(CONF_STRINGS, interfaces),
		.max = 16,
		.elem_size = IFNAMSIZ,
		N(n_interfaces),
		.help = "where the eBPF engine takes packets, of both families"},
	{.name = "forward",
		.live = true,
		KEY(CONF_ENUM, forward),
		.def = "direct",
		.choices = forwards,
		.help = "eBPF engine: direct: past the firewall's forward hook; stack: through it"},
	{.name = "device",
		KEY(CONF_STRING, device),
		.size = IFNAMSIZ,
		.def = "nat64",
		.help = "TUN device, where the routes to the translator lead"},
	{.name = "mtu",
		KEY(CONF_UINT, mtu),
		.def = "65535",
		.min = 1280,
		.max = 65535,
		.help = "of the device, octets; the default leaves all sizes to the links"},
	{.name = "queues",
		KEY(CONF_UINT, queues),
		.def = "1",
		.min = 1,
		.max = NAT64_MAX_QUEUES,
		.help = "of the device"},
	{.name = "address4",
		.live = true,
		KEY(CONF_ADDR4, address4),
		.help = "source of our own ICMP errors if pool4 is empty; neither: none are sent"},
	{.name = "address6",
		.live = true,
		KEY(CONF_ADDR6, address6),
		.help = "source of our own ICMPv6 errors if pool6 is empty; neither: none are "
			"sent"},
	{.name = "pool4",
		.live = true,
		KEY(CONF_PREFIX4S, pool4),
		.max = NAT64_MAX_POOL,
		.elem_size = sizeof(struct prefix4),
		N(n_pool4),
		.help = "sources of ICMPv6 errors from addresses without an IPv4 address (RFC "
			"6791)"},
	{.name = "pool6",
		.live = true,
		KEY(CONF_PREFIX6S, pool6),
		.bare = true,
		.max = NAT64_MAX_POOL,
		.elem_size = sizeof(struct prefix6),
		N(n_pool6),
		.help = "sources of ICMP errors from addresses without an IPv6 address"},
	{.name = "errors_per_second",
		KEY(CONF_UINT, errors_per_second),
		.def = "100",
		.max = 1000000,
		.help = "most ICMP errors of our own; 0: none"},
	{.name = "origin_object",
		.live = true,
		KEY(CONF_BOOL, origin_object),
		.def = "true",
		.help = "name the IPv6 source in ICMP errors from pool4 (RFC 5837)"},
	{.name = "bogons",
		.live = true,
		KEY(CONF_PREFIX4S, bogons),
		.max = NAT64_MAX_BOGONS,
		.elem_size = sizeof(struct prefix4),
		N(n_bogons),
		.def = "0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4",
		.help = "IPv4 addresses never translated"},
	{.name = "allow_non_global",
		.live = true,
		KEY(CONF_BOOL, allow_non_global),
		.def = "false",
		.help = "translate 64:ff9b::/96 with private and other non-global IPv4 addresses "
			"(RFC 6052 s3.1 forbids it)"},
	{.name = "hairpin",
		.live = true,
		KEY(CONF_ENUM, hairpin),
		.def = "intrinsic",
		.choices = hairpins,
		.help = "between IPv6 hosts with mappings (RFC 7757 s4)"},
	{.name = "udp_zero_checksum",
		.live = true,
		KEY(CONF_ENUM, udp_zero_checksum),
		.def = "drop",
		.choices = udp_zeros,
		.help = "IPv4 UDP packets without a checksum"},
	{.name = "lowest_ipv6_mtu",
		.live = true,
		KEY(CONF_UINT, lowest_ipv6_mtu),
		.def = "1280",
		.min = 1280,
		.max = 65535,
		.help = "of the IPv6 network, octets: IPv4 packets without DF are split to it"},
	{.name = "tos_4to6",
		.live = true,
		KEY(CONF_ENUM, tos_4to6),
		.def = "copy",
		.choices = toses,
		.help = "traffic class of IPv6 packets: that of the IPv4 packet, or 0"},
	{.name = "tos_6to4",
		.live = true,
		KEY(CONF_STRING, tos_6to4),
		.size = 8,
		.def = "copy",
		.help = "TOS octet of IPv4 packets: copy, or a number 0..255"},
	DAEMON_KEYS(struct nat64_file, "/run/nemo/nat64.sock"),
	{.name = NULL},
};

static struct nat64_net4 net4(const struct prefix4 *p)
{
	return (struct nat64_net4){.addr = p->addr.s_addr, .len = p->len};
}

static struct nat64_net6 net6(const struct prefix6 *p)
{
	struct nat64_net6 n = {.len = p->len};

	memcpy(&n.addr, &p->addr, sizeof(n.addr));
	return n;
}

static bool misread4(const struct conf *c, const struct prefix4 *p)
{
	return c->partial && p->addr.s_addr == 0;
}

/* --- prefixes --- */

static const struct prefix6 wkp = {.addr.s6_addr = {0, 0x64, 0xff, 0x9b}, .len = 96};

static void check_prefix(
	struct conf *c, const struct nat64_file *f, const struct nat64_prefix_conf *p)
{
	unsigned len = p->prefix.len;
	char text[PREFIX6_STRLEN], t4[PREFIX4_STRLEN];

	prefix6_str(&p->prefix, text);
	if (len != 32 && len != 40 && len != 48 && len != 56 && len != 64 && len != 96)
		conf_error(c, p->line, "prefix", "%s: the length must be 32, 40, 48, 56, 64 or 96",
			text);
	else if (len == 96 && p->prefix.addr.s6_addr[8] != 0)
		conf_error(
			c, p->line, "prefix", "%s: bits 64 to 71 must be 0 (RFC 6052 s2.2)", text);
	if (prefix6_overlaps(&p->prefix, &wkp) && len != 96)
		conf_error(c, p->line, "prefix",
			"%s: the well-known prefix is 64:ff9b::/96 and nothing else", text);
	else if (!addr6_is_routable(&p->prefix.addr))
		conf_error(c, p->line, "prefix", "%s is no unicast prefix beyond a link", text);
	if (prefix6_eq(&p->prefix, &wkp) && p->n_hosts)
		conf_warn(c, p->line, "hosts",
			"the well-known prefix should not number IPv6 hosts (RFC 6052 s3.1)");
	if (prefix6_eq(&p->prefix, &wkp) && !f->allow_non_global && p->ipv4.len >= 8 &&
		addr_is_non_global4(p->ipv4.addr.s_addr))
		conf_warn(c, p->line, "ipv4",
			"%s is not global: with the well-known prefix every packet is dropped",
			prefix4_str(&p->ipv4, t4));
	for (unsigned i = 0; i < p->n_hosts; i++)
		if (!misread4(c, &p->hosts[i]) && !prefix4_covers(&p->ipv4, &p->hosts[i]))
			conf_error(c, p->line, "hosts", "%s is outside the prefix's ipv4",
				prefix4_str(&p->hosts[i], t4));
}

static void check_prefix_pair(
	struct conf *c, const struct nat64_prefix_conf *a, const struct nat64_prefix_conf *b)
{
	char text[PREFIX6_STRLEN], t4[PREFIX4_STRLEN];

	if (conf_misread(c, &a->prefix.addr) || conf_misread(c, &b->prefix.addr))
		return;
	prefix6_str(&b->prefix, text);
	if (prefix6_eq(&a->prefix, &b->prefix))
		conf_error(c, b->line, "prefix", "%s is used before, in line %u", text, a->line);
	else if (prefix6_overlaps(&a->prefix, &b->prefix))
		conf_warn(c, b->line, "prefix", "%s overlaps that of line %u: the longer decides",
			text, a->line);
	if (a->ipv4.len == b->ipv4.len && prefix4_has(&a->ipv4, &b->ipv4.addr))
		conf_error(c, b->line, "ipv4",
			"%s goes into the prefix of line %u already: answers would come from there",
			prefix4_str(&b->ipv4, t4), a->line);
}

static void check_prefixes(struct conf *c, struct nat64_file *f)
{
	struct nat64_conf *out = &f->nat64.conf;

	for (unsigned i = 0; i < f->n_prefixes; i++) {
		const struct nat64_prefix_conf *p = &f->prefixes[i];

		if (!conf_misread(c, &p->prefix.addr))
			check_prefix(c, f, p);
		for (unsigned k = 0; k < i; k++)
			check_prefix_pair(c, &f->prefixes[k], p);
		out->prefixes[out->n_prefixes++] = (struct nat64_prefix){
			.net = net6(&p->prefix), .scope = net4(&p->ipv4)};
		for (unsigned k = 0; k < p->n_hosts; k++) {
			if (out->n_hosts == NAT64_MAX_PREFIXES) {
				conf_error(c, p->line, "hosts",
					"has more than %d elements over all prefixes",
					NAT64_MAX_PREFIXES);
				break;
			}
			out->hosts[out->n_hosts++] = net4(&p->hosts[k]);
		}
	}
}

/* --- sources of ICMP errors --- */

static bool in_bogons(const struct nat64_file *f, const struct prefix4 *p)
{
	for (unsigned i = 0; i < f->n_bogons; i++)
		if (prefix4_overlaps(&f->bogons[i], p))
			return true;
	return false;
}

static void check_pools(struct conf *c, struct nat64_file *f)
{
	static const struct prefix4 shared[] = {/* RFC 1918, RFC 6598 */
		{.addr.s_addr = bpf_htonl(0x0a000000), .len = 8},
		{.addr.s_addr = bpf_htonl(0xac100000), .len = 12},
		{.addr.s_addr = bpf_htonl(0xc0a80000), .len = 16},
		{.addr.s_addr = bpf_htonl(0x64400000), .len = 10}};
	struct nat64_conf *out = &f->nat64.conf;
	char t4[PREFIX4_STRLEN], t6[PREFIX6_STRLEN];

	for (unsigned i = 0; i < f->n_pool4; i++) {
		const struct prefix4 *p = &f->pool4[i];

		out->pool4[out->n_pool4++] = net4(p);
		if (misread4(c, p))
			continue;
		prefix4_str(p, t4);
		if (in_bogons(f, p))
			conf_error(c, 0, "pool4", "%s is in bogons: nobody would answer it", t4);
		for (size_t k = 0; k < sizeof(shared) / sizeof(shared[0]); k++)
			if (prefix4_overlaps(&shared[k], p))
				conf_warn(c, 0, "pool4",
					"%s is private: errors from it get lost at filters (RFC "
					"6791 s3.1)",
					t4);
	}
	for (unsigned i = 0; i < f->n_pool6; i++) {
		const struct prefix6 *p = &f->pool6[i];

		out->pool6[out->n_pool6++] = net6(p);
		if (!conf_misread(c, &p->addr) && !addr6_is_routable(&p->addr))
			conf_error(c, 0, "pool6", "%s is no unicast prefix beyond a link",
				prefix6_str(p, t6));
	}
}

static void check_own(struct conf *c, struct nat64_file *f)
{
	struct nat64_conf *out = &f->nat64.conf;
	const struct prefix4 own4 = {.addr = f->address4, .len = 32};

	out->own4 = f->address4.s_addr;
	memcpy(&out->own6, &f->address6, sizeof(out->own6));
	if (out->own4 && in_bogons(f, &own4))
		conf_error(c, 0, "address4", "is in bogons: nobody would answer it");
	if (!addr6_is_any(&f->address6) && !addr6_is_routable(&f->address6))
		conf_error(c, 0, "address6", "not a unicast routable address");
	if (c->partial || !f->errors_per_second)
		return;
	if (!out->own4 && !f->n_pool4)
		conf_warn(c, 0, "address4",
			"neither it nor pool4 is set: IPv4 hosts get no ICMP errors from here");
	if (addr6_is_any(&f->address6) && !f->n_pool6)
		conf_warn(c, 0, "address6",
			"neither it nor pool6 is set: IPv6 hosts get no ICMP errors from here");
}

/* --- the rest --- */

static void check_tos(struct conf *c, struct nat64_file *f)
{
	char *end;
	unsigned long n = strtoul(f->tos_6to4, &end, 0);

	f->nat64.conf.set_tos = strcmp(f->tos_6to4, "copy") != 0;
	f->nat64.conf.tos = (uint8_t)n;
	if (f->nat64.conf.set_tos && (end == f->tos_6to4 || *end || n > 255) &&
		!(c->partial && !*f->tos_6to4))
		conf_error(c, 0, "tos_6to4", "\"%s\" is neither \"copy\" nor a number 0..255",
			f->tos_6to4);
}

static void check_together(struct conf *c, const struct nat64_file *f)
{
	bool all = false; /* 0.0.0.0/0 is mapped explicitly */

	for (size_t i = 0; i < f->nat64.n_eams; i++)
		all |= f->nat64.eams[i].v4.len == 0;
	if (all && f->n_prefixes && f->hairpin == NAT64_HAIRPIN_INTRINSIC)
		conf_warn(c, 0, "hairpin",
			"0.0.0.0/0 is mapped: every packet to a prefix turns back to IPv6, none "
			"reaches IPv4; set it to \"off\"");
	if (!f->n_prefixes && f->nat64.n_eams && f->hairpin == NAT64_HAIRPIN_SIMPLE)
		conf_warn(c, 0, "hairpin",
			"\"simple\" puts IPv4 sources into a prefix, and there is none: nothing is "
			"translated to IPv6; set it to \"intrinsic\"");
	if (f->engine == NAT64_ENGINE_EBPF && !f->n_interfaces)
		conf_error(c, 0, "interfaces", "the eBPF engine needs at least one");
	if (!c->n_errors && !f->n_prefixes && !f->nat64.n_eams)
		conf_error(c, 0, "prefixes", "no prefix and no mapping: nothing to translate");
	if (!*f->device)
		conf_error(c, 0, "device", "is empty");
}

static void fill(struct nat64_file *f)
{
	struct nat64_conf *out = &f->nat64.conf;

	for (unsigned i = 0; i < f->n_bogons; i++)
		out->bogons[out->n_bogons++] = net4(&f->bogons[i]);
	out->lowest_mtu6 = f->lowest_ipv6_mtu;
	out->mtu4 = out->mtu6 = 65535;
	out->zero_tos = f->tos_4to6 == 1;
	out->udp_zero = (uint8_t)f->udp_zero_checksum;
	out->hairpin = (uint8_t)f->hairpin;
	out->wkp_non_global = f->allow_non_global;
	out->origin_object = f->origin_object;
	out->forward_stack = f->forward == 1;
}

unsigned nat64_conf_load(struct conf *c, struct nat64_file *f)
{
	size_t bad;

	memset(f, 0, sizeof(*f));
	if (conf_read(c, nat64_conf_keys, f) > 0 && !f->mtu)
		return c->n_errors; /* not even read */
	fill(f);
	check_prefixes(c, f);
	check_pools(c, f);
	check_own(c, f);
	check_tos(c, f);
	nat64_mappings_read(c, f);
	check_together(c, f);
	if (c->n_errors == 0 && nat64_table_build(&f->nat64, &bad) < 0)
		conf_error(c, 0, NULL, "not enough memory");
	return c->n_errors;
}

unsigned nat64_conf_read(const char *path, struct nat64_file *f)
{
	struct conf c = {.file = path};

	return nat64_conf_load(&c, f);
}

void nat64_conf_free(struct nat64_file *f)
{
	nat64_release(&f->nat64);
	conf_release(nat64_conf_keys, f);
}
