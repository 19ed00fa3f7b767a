/* lookup.h - configuration and mappings as maps, and the core's loops over them as functions of
 * their own: the verifier looks at each once instead of at every place where it is inlined. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "nat64/bpf/maps.h"
#include "nat64/core/conf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAT64_N_SLOTS);
	__type(key, __u32);
	__type(value, struct nat64_conf);
} confs SEC(".maps");

struct table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nat64_key)); /* clang 14 forgets the types in here */
	__uint(value_size, sizeof(struct nat64_eam));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, NAT64_N_SLOTS);
	__type(key, __u32);
	__array(values, struct table);
} tables SEC(".maps");

static __always_inline const struct nat64_eam *xlat_find(void *table, const struct nat64_key *key)
{
	return bpf_map_lookup_elem(table, key);
}

int cut6(const struct ip6 *a, __u32 len, struct ip6 *out);
#define ADDR_CUT6 cut6
#include "nat64/core/addr.h"

__attribute__((noinline)) int cut6(const struct ip6 *a, __u32 len, struct ip6 *out)
{
	if (a && out)
		addr_cut6(a, len, out);
	return 0;
}

/* The core's 'ctx' is a pointer to the packet's slot.  A table that is gone belonged to a
 * configuration that was replaced this very moment: nothing is found, and the packet is left. */
#define XLAT_MAP46(c, ctx, a4, eam, out) map46(*(const __u32 *)(ctx), a4, eam, out)
#define XLAT_MAP64(c, ctx, a6, out)      map64(*(const __u32 *)(ctx), a6, out)
#define XLAT_FIND4(c, ctx, a4)           find4(*(const __u32 *)(ctx), a4)
#define XLAT_BOGON4(c, a4)               is_bogon4(c, a4)

__attribute__((noinline)) int map46(__u32 slot, __be32 a4, int eam_allowed, struct ip6 *out)
{
	const struct nat64_conf *c = bpf_map_lookup_elem(&confs, &slot);
	void *table = bpf_map_lookup_elem(&tables, &slot);

	return c && table && out ? addr_46(c, table, a4, eam_allowed, out) : NAT64_BY_NONE;
}

__attribute__((noinline)) int map64(__u32 slot, const struct ip6 *a6, __be32 *out)
{
	const struct nat64_conf *c = bpf_map_lookup_elem(&confs, &slot);
	void *table = bpf_map_lookup_elem(&tables, &slot);

	return c && table && a6 && out ? addr_64(c, table, a6, out) : NAT64_BY_NONE;
}

__attribute__((noinline)) int find4(__u32 slot, __be32 a4)
{
	const struct nat64_conf *c = bpf_map_lookup_elem(&confs, &slot);
	void *table = bpf_map_lookup_elem(&tables, &slot);

	return c && table && addr_find4(c, table, a4);
}

__attribute__((noinline)) int is_bogon4(const struct nat64_conf *c, __be32 a4)
{
	return c ? addr_is_bogon4(c, a4) : 0;
}
