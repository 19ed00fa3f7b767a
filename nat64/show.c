/* show.c - the translator's state as JSON. */
#include <stdio.h>
#include "nat64/explain.h"
#include "nat64/show.h"

static const char *net4_str(const struct nat64_net4 *n, char *buf)
{
	struct prefix4 p = {.len = n->len};

	memcpy(&p.addr, &n->addr, sizeof(p.addr));
	return prefix4_str(&p, buf);
}

static const char *net6_str(const struct nat64_net6 *n, char *buf)
{
	struct prefix6 p = {.len = n->len};

	memcpy(&p.addr, &n->addr, sizeof(p.addr));
	return prefix6_str(&p, buf);
}

json_t *nat64_show_prefixes(const struct nat64 *n)
{
	json_t *list = json_array();
	char s[PREFIX6_STRLEN];

	for (unsigned i = 0; i < n->conf.n_prefixes; i++)
		json_array_append_new(list, json_string(net6_str(&n->conf.prefixes[i].net, s)));
	return list;
}

json_t *nat64_show_mappings(const struct nat64 *n)
{
	static const char *const sides[] = {
		[NAT64_IPV6_HOST] = "ipv6", [NAT64_IPV4_HOST] = "ipv4", [NAT64_BOTH] = "both"};
	json_t *list = json_array();
	char s4[PREFIX4_STRLEN], s6[PREFIX6_STRLEN];

	for (size_t i = 0; i < n->n_eams; i++)
		json_array_append_new(list,
			json_pack("{ss ss ss ss}", "kind", "mapping", "ipv4",
				net4_str(&n->eams[i].v4, s4), "ipv6", net6_str(&n->eams[i].v6, s6),
				"hosts", sides[n->eams[i].side]));
	for (unsigned i = 0; i < n->conf.n_prefixes; i++)
		json_array_append_new(
			list, json_pack("{ss ss ss ss}", "kind", "prefix", "ipv4",
				      net4_str(&n->conf.prefixes[i].scope, s4), "ipv6",
				      net6_str(&n->conf.prefixes[i].net, s6), "hosts", "ipv4"));
	for (unsigned i = 0; i < n->conf.n_hosts; i++)
		json_array_append_new(
			list, json_pack("{ss ss sn ss}", "kind", "prefix", "ipv4",
				      net4_str(&n->conf.hosts[i], s4), "ipv6", "hosts", "ipv6"));
	return list;
}

/* --- explanations --- */

static json_t *addr_json(const struct nat64_addr *a)
{
	char s[NAT64_ADDR_STRLEN];

	return json_string(nat64_addr_str(a, s));
}

static json_t *explained(const struct nat64_explained *x)
{
	json_t *o = json_pack("{so ss ss ss sb sb ss}", "address", addr_json(&x->in), "verdict",
		nat64_verdict_name(x->verdict), "by", nat64_by_name(x->by), "rule", x->rule,
		"one_way", x->one_way, "drawn", x->drawn, "text", x->text);

	json_object_set_new(
		o, "becomes", x->by == NAT64_BY_NONE ? json_null() : addr_json(&x->out));
	return o;
}

static json_t *explain_packet(const struct nat64 *n, const struct nat64_addr *src,
	const struct nat64_addr *dst, char *err)
{
	struct nat64_explained_packet x;
	json_t *packet;

	if (nat64_explain_packet(n, src, dst, &x) < 0) {
		snprintf(err, 256, "source and destination must be of one family");
		return NULL;
	}
	packet = json_pack("{sb sb sb ss ss}", "translated", x.translated, "answered", x.answered,
		"hairpinned", x.hairpinned, "counter", nat64_reason_name(x.reason), "meaning",
		nat64_reason_text(x.reason));
	json_object_set_new(packet, "source", x.translated ? addr_json(&x.out_src) : json_null());
	json_object_set_new(
		packet, "destination", x.translated ? addr_json(&x.out_dst) : json_null());
	return json_pack("{ss s[oo] so}", "text", x.text, "addresses", explained(&x.src),
		explained(&x.dst), "packet", packet);
}

static bool parse(const json_t *request, const char *key, struct nat64_addr *out, char *err)
{
	const char *s = json_string_value(json_object_get(request, key));

	if (!s)
		snprintf(err, 256, "\"address\", or \"source\" and \"destination\", are missing");
	else if (nat64_addr_parse(s, out) < 0)
		snprintf(err, 256, "\"%.64s\" is no IPv4 or IPv6 address", s);
	else
		return true;
	return false;
}

json_t *nat64_show_explain(const struct nat64 *n, const json_t *request, char *err)
{
	struct nat64_addr a, b;
	struct nat64_explained x;

	if (json_object_get(request, "source") || json_object_get(request, "destination"))
		return parse(request, "source", &a, err) && parse(request, "destination", &b, err)
			       ? explain_packet(n, &a, &b, err)
			       : NULL;
	if (!parse(request, "address", &a, err))
		return NULL;
	nat64_explain(n, &a, &x);
	return json_pack("{ss s[o] sn}", "text", x.text, "addresses", explained(&x), "packet");
}

/* --- counters --- */

json_t *nat64_show_counters(const struct nat64_counters *tun, const struct nat64_counters *ebpf,
	const uint64_t own[NAT64_TUN_N_COUNTERS])
{
	static const struct {
		const char *name, *help;
	} device[] = {
#define X(name, text) {#name, text},
		NAT64_TUN_COUNTERS(X)
#undef X
	};
	json_t *list = json_array();

	for (unsigned i = 0; i < NAT64_N_REASONS; i++)
		json_array_append_new(
			list, json_pack("{ss sI sI sI ss ss}", "name", nat64_reason_name(i),
				      "value", (json_int_t)(tun->n[i] + ebpf->n[i]), "tun",
				      (json_int_t)tun->n[i], "ebpf", (json_int_t)ebpf->n[i],
				      "group", "translation", "help", nat64_reason_text(i)));
	for (unsigned i = 0; i < NAT64_TUN_N_COUNTERS; i++)
		json_array_append_new(
			list, json_pack("{ss sI sI si ss ss}", "name", device[i].name, "value",
				      (json_int_t)own[i], "tun", (json_int_t)own[i], "ebpf", 0,
				      "group", "device", "help", device[i].help));
	return list;
}
