/* ip6tnl_nft.c - the tables "ip6 nemo_tunnel" and "netdev nemo_tunnel" through libnftables. */
#include <errno.h>
#include <jansson.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/tunnel/ip6tnl_nft.h"

#define TABLE  IP6TNL_NFT_TABLE
#define EGRESS "netdev nemo_tunnel"

struct ip6tnl_nft {
	struct nft_ctx *ctx;
	FILE *batch; /* writes to 'text' */
	char *text;
	size_t size;
};

/* The traffic class of the packet inside (RFC 2473 s6.4, RFC 6040 s4.1), bit by bit: nftables can't
 * copy fields.  The kernel's tunnel leaves the class 0 but for the congestion bits, and makes
 * ECT(0) of CE. */
#define CLASS_BIT(bit) \
	"		@nh,320,16 & " bit " == " bit " @nh,0,16 set @nh,0,16 | " bit "\n"
#define CLASS_RULES \
	CLASS_BIT("0x0800") \
	CLASS_BIT("0x0400") \
	CLASS_BIT("0x0200") \
	CLASS_BIT("0x0100") \
	CLASS_BIT("0x0080") CLASS_BIT("0x0040") CLASS_BIT("0x0020") CLASS_BIT("0x0010")

/* Errors about tunnel packets are read by user space, from a packet socket (slow.h). */
static const char hide_errors[] = "		@th,112,8 41 drop\n"
				  "		@th,112,8 60 @th,384,8 41 drop\n"
				  "		@th,112,8 44 @th,384,8 { 41, 60 } drop\n";
/* Without user space the most common place of a limit is looked at at least. */
static const char limit_rule[] =
	"		ip6 nexthdr 60 @nh,336,16 0x0401 @nh,352,8 0 counter name tx_encap_limit "
	"drop\n";
/* What takes user space: the device's name, three times the index of the device to there.  What is
 * nested, and what does not fit in the least path's MTU. */
static const char egress_rules[] =
	"table " EGRESS " {\n"
	"	set nested { type ipv6_addr; flags interval; }\n"
	"	set large { type ipv6_addr; flags interval; }\n"
	"	chain egress {\n"
	"		type filter hook egress device \"%s\" priority 0; policy accept;\n"
	"		ip6 daddr @nested fwd to \"%s\"\n"
	"		meta length > 1240 ip6 daddr @large fwd to \"%s\"\n"
	"		exthdr dst exists fwd to \"%s\"\n"
	"	}\n"
	"}\n";

/* The rules about errors, that about what is in clear, the role's own check, the mark in this host,
 * the device's name, what is to be in clear, the device's name, the rule about limits, the device's
 * name. */
static const char rules[] =
	"	set locals { type ipv6_addr; }\n"
	"	map pairs { type ipv6_addr . ipv6_addr : mark; }\n"
	/* By number of the tunnel, in which the comment is its home address: for the next run. */
	"	map tenants { type mark : mark; }\n"
	"	map owners { type mark : mark; }\n" /* by number of the path: of a tunnel */
	"	set sources { type mark . ipv6_addr; flags interval; }\n"
	"	map senders { type ipv6_addr : mark; flags interval; }\n"
	"	map received { type ipv6_addr : counter; flags interval; }\n"
	"	map sent { type ipv6_addr : counter; flags interval; }\n"
	"	set isolated { type ipv6_addr; flags interval; }\n"
	"	set reachable { type mark . ipv6_addr; flags interval; }\n"
	"	set inner { type ipv6_addr; flags interval; }\n"
	"	chain errors {\n%s	}\n"
	"	chain class {\n" CLASS_RULES "	}\n"
	"	chain tunnel {\n"
	"		%s\n"
	"		ip6 nexthdr != { 41, 60 } counter name rx_options drop\n"
	"		ip6 nexthdr 60 dst hdrlength != 0 counter name rx_options drop\n"
	/* The first option is not to be skipped (RFC 8200 s4.2); the kernel looks at the rest. */
	"		ip6 nexthdr 60 @nh,336,2 != 0 counter name rx_options drop\n"
	"		meta length < 80 counter name rx_bad_inner drop\n"
	"		ip6 nexthdr 60 meta length < 88 counter name rx_bad_inner drop\n"
	"		@th,0,4 != 6 counter name rx_bad_inner drop\n"
	"		meta mark set ip6 daddr . ip6 saddr map @pairs accept\n"
	"		counter name rx_outer_source drop\n"
	"	}\n"
	"	chain outer {\n"
	"		ip6 daddr != @locals accept\n"
	"		icmpv6 type { 1, 2, 3, 4 } jump errors\n"
	"		exthdr frag exists frag nexthdr 41 counter name rx_fragment drop\n"
	"		meta l4proto 41 goto tunnel\n"
	"	}\n"
	"	chain inner {\n"
	"		ip6 saddr { fe80::/10, ff00::/8 } goto rx_inner_source\n"
	"		ip6 daddr { fe80::/10, ff00::/8 } goto rx_inner_dest\n"
	"		meta mark . ip6 saddr != @sources goto rx_inner_source\n"
	"		%s\n"
	"		meta mark set %u\n"
	"		counter name ip6 saddr map @received\n"
	"		ip6 daddr @locals icmpv6 type { 1, 2, 3, 4 } jump errors\n"
	"		ip6 daddr @locals meta l4proto 41 goto tunnel\n" /* a router behind a router
									  */
	"		accept\n"
	"	}\n"
	"	chain prerouting {\n"
	"		type filter hook prerouting priority raw; policy accept;\n"
	"		iifname \"%s\" goto inner\n"
	"		goto outer\n"
	"	}\n"
	"	chain postrouting {\n"
	"		type filter hook postrouting priority raw; policy accept;\n"
	"		%s\n"
	"		ip6 nexthdr 41 ip6 saddr @locals jump class\n"
	"		oifname != \"%s\" accept\n"
	"%s"
	"		iifname != \"%s\" ip6 saddr @isolated ip6 daddr @isolated "
	"counter name tx_tenant drop\n"
	"		counter name ip6 daddr map @sent accept\n"
	"	}\n"
	"}\n";
/* The mark turns from the path's number into the sender's tenant; 0 is not isolated. */
static const char ha_check[] = "meta mark set ip6 saddr map @senders "
			       "meta mark set meta mark map @tenants meta mark != 0 "
			       "ip6 daddr @isolated meta mark . ip6 daddr != @reachable "
			       "goto rx_tenant";
/* Both next to the kernel's own policies, which say the same of each tunnel: here it is counted,
 * and true also while there is no policy. */
static const char esp_rx[] = "meta ipsec missing counter name rx_clear drop";
static const char esp_tx[] =
	"ip6 saddr @locals meta l4proto 41 rt ipsec missing counter name tx_clear drop";
static const char mr_check[] = "ip6 daddr != @inner goto rx_inner_dest";
/* What is told of the tunnel, too: what goes before that, and the drop's name, three times.  A set
 * that is full ends its rule, so that is not the one that drops. */
static const struct refusal {
	enum tunnel_drop why;
	const char *before;
} refusals[] = {
	{TUNNEL_DROP_rx_inner_source, "meta mark set meta mark map @owners "},
	{TUNNEL_DROP_rx_inner_dest, "meta mark set meta mark map @owners "},
	{TUNNEL_DROP_rx_tenant, "meta mark set ip6 saddr map @senders "}, /* it was the tenant */
};
#define N_REFUSALS (sizeof(refusals) / sizeof(refusals[0]))
static const char refusal_rules[] = "	set by_%s { type mark; size 65535; flags dynamic; }\n"
				    "	chain %s {\n"
				    "		%supdate @by_%s { meta mark counter }\n"
				    "		counter name %s drop\n"
				    "	}\n";

void ip6tnl_nft_add(struct ip6tnl_nft *n, const char *fmt, ...)
{
	char line[256], *t;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	t = strstr(line, " T ");
	if (t)
		fprintf(n->batch, "%.*s " TABLE " %s\n", (int)(t - line), line, t + 3);
	else if ((t = strstr(line, " E ")))
		fprintf(n->batch, "%.*s " EGRESS " %s\n", (int)(t - line), line, t + 3);
}

static void batch_start(struct ip6tnl_nft *n)
{
	if (n->batch)
		fclose(n->batch);
	free(n->text);
	n->text = NULL;
	n->batch = open_memstream(&n->text, &n->size);
}

int ip6tnl_nft_run(struct ip6tnl_nft *n)
{
	int rc = fflush(n->batch) ? -ENOMEM : 0;

	if (rc >= 0 && n->size && nft_run_cmd_from_buffer(n->ctx, n->text))
		rc = -EIO; /* libnftables tells it in words only */
	batch_start(n);
	return n->batch ? rc : -ENOMEM;
}

void ip6tnl_nft_discard(struct ip6tnl_nft *n)
{
	batch_start(n);
}

json_t *ip6tnl_nft_list(struct ip6tnl_nft *n, const char *cmd)
{
	json_t *root, *objects;

	nft_ctx_output_set_flags(n->ctx, NFT_CTX_OUTPUT_JSON);
	if (nft_run_cmd_from_buffer(n->ctx, cmd))
		return NULL;
	root = json_loads(nft_ctx_get_output_buffer(n->ctx), 0, NULL);
	objects = json_incref(json_object_get(root, "nftables"));
	json_decref(root);
	return objects;
}

int ip6tnl_nft_counters(struct ip6tnl_nft *n, struct tunnel_counters *out)
{
	json_t *objects = ip6tnl_nft_list(n, "list counters table " TABLE), *o;
	size_t i;

	memset(out, 0, sizeof(*out));
	if (!objects)
		return -EIO;
	json_array_foreach (objects, i, o) {
		json_t *c = json_object_get(o, "counter");
		const char *name = json_string_value(json_object_get(c, "name"));

		for (int d = 0; name && d < TUNNEL_N_DROPS; d++) {
			if (!strcmp(name, tunnel_drop_name((enum tunnel_drop)d)))
				out->drop[d] = (uint64_t)json_integer_value(
					json_object_get(c, "packets"));
		}
	}
	json_decref(objects);
	return 0;
}

json_t *ip6tnl_nft_elements(json_t *objects)
{
	json_t *o, *set;
	size_t i;

	json_array_foreach (objects, i, o) {
		set = json_object_get(o, "set");
		if (!set)
			set = json_object_get(o, "map");
		if (set)
			return json_object_get(set, "elem");
	}
	return NULL;
}

int ip6tnl_nft_count(struct ip6tnl_nft *n, const char *direction, uint32_t number,
	uint64_t *packets, uint64_t *bytes)
{
	char cmd[64];
	json_t *objects, *o, *counter;
	size_t i;

	snprintf(cmd, sizeof(cmd), "list counter " TABLE " %s_%u", direction, number);
	objects = ip6tnl_nft_list(n, cmd);
	if (!objects)
		return -EIO;
	json_array_foreach (objects, i, o) {
		counter = json_object_get(o, "counter");
		if (counter) {
			*packets = (uint64_t)json_integer_value(
				json_object_get(counter, "packets"));
			*bytes = (uint64_t)json_integer_value(json_object_get(counter, "bytes"));
		}
	}
	json_decref(objects);
	return 0;
}

/* {"elem": {"val": NUMBER, "counter": {"packets": N, ...}}} */
int ip6tnl_nft_refused(struct ip6tnl_nft *n,
	void (*found)(void *arg, uint32_t number, enum tunnel_drop why, uint64_t packets),
	void *arg)
{
	for (size_t i = 0; i < N_REFUSALS; i++) {
		char cmd[64];
		json_t *objects, *e;
		size_t k;

		snprintf(cmd, sizeof(cmd), "list set " TABLE " by_%s",
			tunnel_drop_name(refusals[i].why));
		objects = ip6tnl_nft_list(n, cmd);
		if (!objects)
			return -EIO;
		json_array_foreach (ip6tnl_nft_elements(objects), k, e) {
			json_t *elem = json_object_get(e, "elem");
			json_t *counter = json_object_get(elem, "counter");

			found(arg, (uint32_t)json_integer_value(json_object_get(elem, "val")),
				refusals[i].why,
				(uint64_t)json_integer_value(json_object_get(counter, "packets")));
		}
		json_decref(objects);
	}
	return 0;
}

/* --- open and close --- */

/* Those with rules of the table of checks, but for 'whole'. */
static const char *const chains[] = {
	"errors", "class", "tunnel", "outer", "inner", "prerouting", "postrouting"};

/* Old rules go, and with them what follows from the configuration; the tunnels' elements stay. */
static void clear_rules(struct ip6tnl_nft *n)
{
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++)
		ip6tnl_nft_add(n, "flush chain T %s", chains[i]);
	for (size_t i = 0; i < N_REFUSALS; i++)
		ip6tnl_nft_add(n, "flush chain T %s", tunnel_drop_name(refusals[i].why));
	ip6tnl_nft_add(n, "flush set T isolated");
	ip6tnl_nft_add(n, "flush set T reachable");
	ip6tnl_nft_add(n, "flush map T owners");
}

/* Removes the table at the device's egress, if it is there. */
static void remove_egress(struct ip6tnl_nft *n)
{
	fprintf(n->batch, "add table " EGRESS "\ndelete table " EGRESS "\n");
}

void ip6tnl_nft_rules(
	struct ip6tnl_nft *n, const struct tunnel_conf *conf, unsigned user_space, bool left)
{
	char slow[IF_NAMESIZE] = "";
	const char *dev = conf->dev;

	if_indextoname(user_space, slow);
	remove_egress(n);
	if (left)
		clear_rules(n);
	else
		fprintf(n->batch, "add table " TABLE "\ndelete table " TABLE "\n");
	fprintf(n->batch, "table " TABLE " {\n");
	for (int d = 0; d < TUNNEL_N_DROPS; d++)
		fprintf(n->batch, "	counter %s { }\n", tunnel_drop_name((enum tunnel_drop)d));
	for (size_t i = 0; i < N_REFUSALS; i++) {
		const char *name = tunnel_drop_name(refusals[i].why);

		fprintf(n->batch, refusal_rules, name, name, refusals[i].before, name, name);
	}
	fprintf(n->batch, rules, *slow ? hide_errors : "", conf->esp ? esp_rx : "",
		conf->role == TUNNEL_HA ? ha_check : mr_check,
		conf->role == TUNNEL_MR ? TUNNEL_MARK : 0, dev, conf->esp ? esp_tx : "", dev,
		*slow ? "" : limit_rule, dev);
	if (*slow)
		fprintf(n->batch, egress_rules, dev, slow, slow, slow);
}

void ip6tnl_nft_whole(struct ip6tnl_nft *n)
{
	ip6tnl_nft_add(n, "add chain T whole");
	ip6tnl_nft_add(n, "flush chain T whole");
	ip6tnl_nft_add(n, "add rule T whole meta l4proto tcp tproxy to :1");
	ip6tnl_nft_run(n); /* a kernel without it drops fragments, and counts them */
}

const char *ip6tnl_nft_error(struct ip6tnl_nft *n)
{
	return nft_ctx_get_error_buffer(n->ctx);
}

int ip6tnl_nft_open(struct ip6tnl_nft **out, bool *left)
{
	struct ip6tnl_nft *n = calloc(1, sizeof(*n));
	json_t *old;

	if (!n)
		return -ENOMEM;
	n->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	batch_start(n);
	if (!n->ctx || !n->batch) {
		ip6tnl_nft_close(n);
		return -ENOMEM;
	}
	nft_ctx_buffer_error(n->ctx);
	nft_ctx_buffer_output(n->ctx);
	old = ip6tnl_nft_list(n, "list table " TABLE);
	*left = old != NULL;
	json_decref(old);
	*out = n;
	return 0;
}

void ip6tnl_nft_remove(struct ip6tnl_nft *n)
{
	fprintf(n->batch, "delete table " TABLE "\n");
	ip6tnl_nft_run(n);
	remove_egress(n);
	ip6tnl_nft_run(n);
}

void ip6tnl_nft_close(struct ip6tnl_nft *n)
{
	if (!n)
		return;
	if (n->batch)
		fclose(n->batch);
	free(n->text);
	if (n->ctx)
		nft_ctx_free(n->ctx);
	free(n);
}
