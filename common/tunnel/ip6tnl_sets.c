/* ip6tnl_sets.c - what a tunnel puts into the sets of the ip6tnl engine's tables. */
#include <arpa/inet.h>
#include "common/tunnel/ip6tnl_nft.h"

static void batch_route(const struct ip6tnl_sets *set, const char *verb, const struct key *key,
	const struct entry *e)
{
	char prefix[PREFIX6_STRLEN];
	struct prefix6 p = key_prefix6(key);
	uint32_t tenant = e->info.tenant;

	prefix6_str(&p, prefix);
	if (!set->taking_over) {
		ip6tnl_nft_add(
			set->nft, "%s element T senders { %s : %u }", verb, prefix, e->number);
		ip6tnl_nft_add(
			set->nft, "%s element T sent { %s : \"tx_%u\" }", verb, prefix, e->number);
		ip6tnl_nft_add(set->nft, "%s element T received { %s : \"rx_%u\" }", verb, prefix,
			e->number);
	}
	if (!tenant)
		return;
	ip6tnl_nft_add(set->nft, "%s element T isolated { %s }", verb, prefix);
	ip6tnl_nft_add(set->nft, "%s element T reachable { %u . %s }", verb, tenant, prefix);
	for (unsigned i = 0; i < set->n_allow; i++) {
		if (set->allow[i].to == tenant && set->allow[i].from != tenant)
			ip6tnl_nft_add(set->nft, "%s element T reachable { %u . %s }", verb,
				set->allow[i].from, prefix);
	}
}

void ip6tnl_sets_key(const struct ip6tnl_sets *set, const char *verb, const struct key *key,
	const struct entry *e)
{
	char a[PREFIX6_STRLEN], b[INET6_ADDRSTRLEN];
	struct prefix6 p;

	switch (key->table) {
	case KEY_LOCALS:
		inet_ntop(AF_INET6, &key->local, a, sizeof(a));
		ip6tnl_nft_add(set->nft, "%s element T locals { %s }", verb, a);
		break;
	case KEY_PAIRS:
		inet_ntop(AF_INET6, &key->pair.local, a, sizeof(a));
		inet_ntop(AF_INET6, &key->pair.remote, b, sizeof(b));
		ip6tnl_nft_add(
			set->nft, "%s element T pairs { %s . %s : %u }", verb, a, b, e->path);
		break;
	case KEY_ROUTES: batch_route(set, verb, key, e); break;
	case KEY_INNER:
		p = key_prefix6(key);
		ip6tnl_nft_add(set->nft, "%s element T inner { %s }", verb, prefix6_str(&p, a));
		break;
	case KEY_REMOTES: /* the path's number is in the others; here whose it is, or one's of them
			   */
		if (*verb == 'a')
			ip6tnl_nft_add(
				set->nft, "add element T owners { %u : %u }", e->path, e->number);
		else
			ip6tnl_nft_add(set->nft, "delete element T owners { %u }", e->path);
		break;
	case KEY_SOURCES:
		p = key_prefix6(key);
		ip6tnl_nft_add(set->nft, "%s element T sources { %u . %s }", verb, key->path,
			prefix6_str(&p, a));
		break;
	case KEY_LARGE:
	case KEY_ALL:
		p = key_prefix6(key);
		ip6tnl_nft_add(set->nft, "%s element E %s { %s }", verb,
			key->table == KEY_ALL ? "nested" : "large", prefix6_str(&p, a));
		break;
	}
}

/* The elements refer to the counters: those come before and go after. */
void ip6tnl_sets_tunnel(const struct ip6tnl_sets *set, const char *verb, const struct entry *e)
{
	char id[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, &e->info.id, id, sizeof(id));
	ip6tnl_nft_add(set->nft, "%s counter T rx_%u", verb, e->number);
	ip6tnl_nft_add(set->nft, "%s counter T tx_%u", verb, e->number);
	ip6tnl_nft_add(set->nft, "%s element T tenants { %u comment \"%s\" : %u }", verb, e->number,
		id, e->info.tenant);
}
