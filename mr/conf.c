/* conf.c - the mobile router's configuration: key table, and what has to fit together. */
#include <stddef.h>
#include "common/os/daemon.h"
#include "common/os/protect.h"
#include "mr/conf.h"

static const char *const engines[] = {"auto", "ebpf", "ip6tnl", NULL};
static const char *const modes[] = {
	[MR_EXPLICIT] = "explicit", [MR_IMPLICIT] = "implicit", [MR_AUTO] = "auto", NULL};
static const char *const dads[] = {[MR_DAD_OPTIMISTIC] = "optimistic", [MR_DAD_OFF] = "off", NULL};

#define UPLINK(member) .off = offsetof(struct mr_uplink_conf, member)
static const struct conf_key uplink_keys[] = {
	{.name = "interface",
		.type = CONF_STRING,
		UPLINK(interface),
		.size = IFNAMSIZ,
		.required = true,
		.help = "interface towards the visited networks"},
	{.name = "preference",
		.type = CONF_UINT,
		UPLINK(preference),
		.def = "10",
		.max = 1000,
		.help = "the usable uplink with the highest one is used, the first of equals"},
	{.name = CONF_LINE_KEY, .type = CONF_UINT, UPLINK(line), .size = 1},
	{.name = NULL},
};

#define NETWORK(member) .off = offsetof(struct mr_network_conf, member)
static const struct conf_key network_keys[] = {
	{.name = "prefix",
		.type = CONF_PREFIX6,
		NETWORK(prefix),
		.required = true,
		.help = "mobile network prefix"},
	{.name = "interface",
		.type = CONF_STRING,
		NETWORK(interface),
		.size = IFNAMSIZ,
		.required = true,
		.help = "interface towards the mobile network"},
	{.name = CONF_LINE_KEY, .type = CONF_UINT, NETWORK(line), .size = 1},
	{.name = NULL},
};

#define KNOWN(member) .off = offsetof(struct mr_known_conf, member)
static const struct conf_key known_keys[] = {
	{.name = "uplink",
		.type = CONF_STRING,
		KNOWN(uplink),
		.size = IFNAMSIZ,
		.required = true,
		.help = "uplink that may meet this link"},
	{.name = "router",
		.type = CONF_ADDR6,
		KNOWN(router),
		.required = true,
		.help = "its router's link-local address"},
	{.name = "mac",
		.type = CONF_MAC,
		KNOWN(mac),
		.required = true,
		.help = "its router's link-layer address"},
	{.name = "prefix",
		.type = CONF_PREFIX6,
		KNOWN(prefix),
		.required = true,
		.help = "its prefix, a /64"},
	{.name = CONF_LINE_KEY, .type = CONF_UINT, KNOWN(line), .size = 1},
	{.name = NULL},
};

#define KEY(type_, member) .type = type_, .off = offsetof(struct mr_file, member)
#define N(member)          .n_off = offsetof(struct mr_file, member)
const struct conf_key mr_conf_keys[] = {
	{.name = "name",
		KEY(CONF_STRING, core.name),
		.size = MR_NAME_SIZE,
		.required = true,
		.help = "name of this mobile router, for logs and nemoctl"},
	{.name = "home_address",
		KEY(CONF_ADDR6, core.hoa),
		.required = true,
		.help = "address that it is known by at the home agent"},
	{.name = "home_prefix",
		KEY(CONF_PREFIX6, core.home_prefix),
		.help = "prefix of the home link, where home agents are looked for if home_agents "
			"is "
			"empty; without it the /64 of the home address"},
	{.name = "return_home",
		KEY(CONF_BOOL, core.return_home),
		.def = "false",
		.help = "where home_prefix is advertised the router is at home: it de-registers "
			"and "
			"uses no tunnel; false: never"},
	{.name = "home_agents",
		.live = true,
		KEY(CONF_ADDR6S, core.has),
		.max = MR_MAX_HAS,
		.elem_size = sizeof(struct in6_addr),
		N(core.n_has),
		.help = "home agent addresses, the preferred one first; none: they are looked for "
			"(RFC 6275 dynamic home agent address discovery)"},
	{.name = "uplinks",
		.live = true,
		KEY(CONF_GROUPS, core.uplinks),
		.required = true,
		.max = MR_MAX_UPLINKS,
		.elem_size = sizeof(struct mr_uplink_conf),
		N(core.n_uplinks),
		.sub = uplink_keys,
		.help = "interfaces towards visited networks, of Ethernet's kind"},
	{.name = "networks",
		.live = true,
		KEY(CONF_GROUPS, core.networks),
		.required = true,
		.max = MH_MAX_MNP,
		.elem_size = sizeof(struct mr_network_conf),
		N(core.n_networks),
		.sub = network_keys,
		.help = "mobile networks behind this router"},
	{.name = "announce",
		.live = true,
		KEY(CONF_PREFIX6S, core.announce),
		.max = MH_MAX_MNP,
		.elem_size = sizeof(struct prefix6),
		N(core.n_announce),
		.help = "prefixes behind the mobile networks that a routing daemon tells the home "
			"agent of: kept in the tunnel like these, not registered; needs mode "
			"implicit"},
	{.name = "known_links",
		.live = true,
		KEY(CONF_GROUPS, core.known),
		.elem_size = sizeof(struct mr_known_conf),
		N(core.n_known),
		.sub = known_keys,
		.help = "links to recognize at the first visit, without waiting for an "
			"advertisement"},
	{.name = "lifetime",
		.live = true,
		KEY(CONF_UINT, core.lifetime_s),
		.def = "600",
		.min = 4,
		.max = 262140,
		.help = "binding lifetime to ask for, seconds"},
	{.name = "mode",
		.live = true,
		KEY(CONF_ENUM, core.mode),
		.def = "explicit",
		.choices = modes,
		.help = "explicit: name the prefixes; implicit: the home agent knows them; auto: "
			"explicit, then implicit"},
	{.name = "retransmit_ms",
		.live = true,
		KEY(CONF_UINT, core.retransmit_ms),
		.def = "150",
		.min = 20,
		.max = 32000,
		.help = "first wait for an acknowledgement, doubling up to 32 s; ms"},
	{.name = "next_home_agent_ms",
		.live = true,
		KEY(CONF_UINT, core.next_ha_ms),
		.def = "1500",
		.min = 100,
		.max = 600000,
		.help = "least wait before the next home agent is asked; ms"},
	{.name = "router_check_ms",
		.live = true,
		KEY(CONF_UINT, core.check_ms),
		.def = "1000",
		.max = 3600000,
		.help = "how often the default router is probed, ms; 0: never"},
	{.name = "heartbeat",
		.live = true,
		KEY(CONF_UINT, core.heartbeat_s),
		.def = "1",
		.max = 3600,
		.help = "how often the home agent is asked whether it lives and has not restarted, "
			"seconds; 0: never"},
	{.name = "heartbeat_misses",
		.live = true,
		KEY(CONF_UINT, core.heartbeat_misses),
		.def = "3",
		.max = 100,
		.help = "so many in a row may stay unanswered before the next home agent is taken "
			"(a single one: registered with again)"},
	{.name = "dad",
		.live = true,
		KEY(CONF_ENUM, core.dad),
		.def = "optimistic",
		.choices = dads,
		.help = "duplicate address detection of care-of addresses: meanwhile in use, or "
			"off"},
	{.name = "prefix_hook",
		.live = true,
		KEY(CONF_STRING, prefix_hook),
		.def = "",
		.size = 128,
		.help = "program that stops and restarts advertising of the prefixes when the home "
			"agents refuse or accept them: PROGRAM withdraw|restore PREFIX INTERFACE"},
	{.name = "engine",
		KEY(CONF_ENUM, engine),
		.def = "auto",
		.choices = engines,
		.help = "tunnel engine; auto: ebpf, else ip6tnl"},
	{.name = "mtu",
		KEY(CONF_UINT, mtu),
		.def = "0",
		.max = 65495,
		.help = "inner MTU, octets, 1280 at least; 0: the smallest uplink's less 40"},
	{.name = "encap_limit",
		KEY(CONF_UINT, encap_limit),
		.def = "0",
		.max = 255,
		.help = "how often what enters the tunnel may be encapsulated again on its way "
			"(RFC 2473 s4.1.1; 4 is usual), 8 octets in every packet; 0: not said; "
			"engine ebpf"},
	{.name = "table",
		KEY(CONF_UINT, table),
		.def = "139",
		.min = 1,
		.max = 0x7fffffff,
		.help = "kernel routing table for the mobile networks' traffic"},
	{.name = "protection",
		KEY(CONF_ENUM, protection),
		.def = "esp",
		.choices = sec_modes,
		.help = "of the signalling, as the home agent's table says; none: in clear"},
	{.name = "keys",
		.live = true,
		KEY(CONF_STRING, keys_file),
		.size = 256,
		.help = "file with the secrets, which nobody else may read (see SECURITY.md)"},
	CERTS_KEYS(struct mr_file, certs),
	{.name = "home_agent_identity",
		.live = true,
		KEY(CONF_STRING, ha_identity),
		.size = KEYS_CERT_SIZE,
		.def = "",
		.help = "DNS name or URI that the home agent's certificate has to have; without it "
			"its address (IP)"},
	{.name = "rekey_interval",
		.live = true,
		KEY(CONF_UINT, rekey_s),
		.def = "3600",
		.max = 604800,
		.help = "keys of protection = \"esp\" are replaced when they are this old, "
			"seconds; 0: only after 32768 messages"},
	PROTECT_KEYS(struct mr_file, "mr", "its binding", "home agent"),
	DAEMON_KEYS(struct mr_file, "/run/nemo/mr.sock"),
	{.name = NULL},
};

const char *mr_conf_engine(const struct mr_file *f)
{
	return engines[f->engine];
}

static void check_uplinks(struct conf *conf, const struct mr_conf *c)
{
	for (unsigned i = 0; i < c->n_uplinks; i++) {
		const char *name = c->uplinks[i].interface;

		if (strcmp(name, "lo") == 0 || strcmp(name, "nemo0") == 0)
			conf_error(conf, c->uplinks[i].line, "uplinks.interface",
				"%s leads to no router", name);
		for (unsigned k = 0; k < i; k++)
			if (strcmp(c->uplinks[i].interface, c->uplinks[k].interface) == 0)
				conf_error(conf, c->uplinks[i].line, "uplinks.interface",
					"%s is an uplink already, in line %u", name,
					c->uplinks[k].line);
	}
}

static void check_networks(struct conf *conf, const struct mr_conf *c)
{
	char a[PREFIX6_STRLEN], b[PREFIX6_STRLEN];

	for (unsigned i = 0; i < c->n_networks; i++) {
		const struct mr_network_conf *n = &c->networks[i];

		if (conf_misread(conf, &n->prefix.addr))
			continue;
		if (n->prefix.len == 0 || !addr6_is_routable(&n->prefix.addr))
			conf_error(conf, n->line, "networks.prefix",
				"%s is no prefix for a network", prefix6_str(&n->prefix, a));
		if (mr_conf_uplink(c, n->interface) >= 0)
			conf_error(conf, n->line, "networks.interface", "%s is an uplink",
				n->interface);
		if (strcmp(n->interface, "nemo0") == 0)
			conf_error(conf, n->line, "networks.interface",
				"nemo0 is the tunnel, which no network is on");
		for (unsigned k = 0; k < i; k++)
			if (prefix6_overlaps(&n->prefix, &c->networks[k].prefix))
				conf_error(conf, n->line, "networks.prefix",
					"%s overlaps %s of line %u", prefix6_str(&n->prefix, a),
					prefix6_str(&c->networks[k].prefix, b),
					c->networks[k].line);
	}
}

/* What a routing protocol tells of, in part or whole (RFC 3963 s8). */
static void check_announce(struct conf *conf, const struct mr_conf *c)
{
	char a[PREFIX6_STRLEN], b[PREFIX6_STRLEN];

	for (unsigned i = 0; i < c->n_announce; i++) {
		const struct prefix6 *p = &c->announce[i];

		if (conf_misread(conf, &p->addr))
			continue;
		if (p->len == 0 || !addr6_is_routable(&p->addr))
			conf_error(conf, 0, "announce", "%s is no prefix for a network",
				prefix6_str(p, a));
		if (prefix6_has(p, &c->hoa))
			conf_error(conf, 0, "announce", "%s has the home address in it",
				prefix6_str(p, a));
		for (unsigned k = 0; k < c->n_has; k++)
			if (prefix6_has(p, &c->has[k]))
				conf_error(conf, 0, "announce", "%s has a home agent in it",
					prefix6_str(p, a));
		for (unsigned k = 0; k < c->n_networks; k++)
			if (prefix6_overlaps(p, &c->networks[k].prefix))
				conf_error(conf, c->networks[k].line, "announce",
					"%s overlaps network %s", prefix6_str(p, a),
					prefix6_str(&c->networks[k].prefix, b));
	}
	if (c->n_announce + c->n_networks > MH_MAX_MNP)
		conf_error(conf, 0, "announce", "with networks, more than %u prefixes", MH_MAX_MNP);
	if (c->n_announce && c->mode != MR_IMPLICIT)
		conf_error(conf, 0, "mode",
			"has to be \"implicit\" with announce: prefixes are not to be told twice "
			"(RFC 3963 s8)");
}

static void check_known(struct conf *conf, const struct mr_conf *c)
{
	for (unsigned i = 0; i < c->n_known; i++) {
		const struct mr_known_conf *k = &c->known[i];

		if (conf_misread(conf, &k->router))
			continue;
		if (mr_conf_uplink(c, k->uplink) < 0)
			conf_error(
				conf, k->line, "known_links.uplink", "%s is no uplink", k->uplink);
		if (!addr6_is_link_local(&k->router))
			conf_error(conf, k->line, "known_links.router",
				"not a link-local address (fe80::...)");
		if (k->prefix.len != 64)
			conf_error(conf, k->line, "known_links.prefix",
				"has to be a /64, not a /%u", k->prefix.len);
	}
}

static void check_addresses(struct conf *conf, const struct mr_conf *c)
{
	if (!conf_misread(conf, &c->hoa) && !addr6_is_routable(&c->hoa))
		conf_error(conf, 0, "home_address", "not a unicast routable address");
	for (unsigned i = 0; i < c->n_has; i++) {
		if (!conf_misread(conf, &c->has[i]) && !addr6_is_routable(&c->has[i]))
			conf_error(conf, 0, "home_agents", "not a unicast routable address");
		if (addr6_eq(&c->has[i], &c->hoa))
			conf_error(conf, 0, "home_agents", "a home agent has our home address");
		for (unsigned k = 0; k < i; k++)
			if (!conf_misread(conf, &c->has[i]) && addr6_eq(&c->has[i], &c->has[k]))
				conf_error(conf, 0, "home_agents", "the same one twice");
		for (unsigned k = 0; k < c->n_networks; k++)
			if (prefix6_has(&c->networks[k].prefix, &c->has[i]))
				conf_error(conf, c->networks[k].line, "home_agents",
					"a home agent is inside the mobile network");
	}
}

static void check_home(struct conf *conf, const struct mr_conf *c)
{
	bool inside = prefix6_has(&c->home_prefix, &c->hoa);
	char a[PREFIX6_STRLEN];

	if (!c->return_home || conf_misread(conf, &c->home_prefix.addr) ||
		conf_misread(conf, &c->hoa))
		return;
	for (unsigned i = 0; i < c->n_networks; i++) {
		inside |= prefix6_has(&c->networks[i].prefix, &c->hoa);
		if (prefix6_overlaps(&c->home_prefix, &c->networks[i].prefix))
			conf_error(conf, c->networks[i].line, "networks.prefix",
				"%s overlaps home_prefix", prefix6_str(&c->networks[i].prefix, a));
	}
	if (!inside)
		conf_error(conf, 0, "home_prefix",
			"the home address is neither in it nor in one of the networks");
}

/* What a daemon that has given up root's rights can't read again holds as it is known. */
static void read_keys(struct conf *conf, struct mr_file *f, const struct mr_file *running)
{
	if (running && f->protection == running->protection &&
		strcmp(f->keys_file, running->keys_file) == 0 && protect_denied(f->keys_file)) {
		f->keys = running->keys;
		conf_warn(conf, 0, "keys", PROTECT_DENIED, 1);
		return;
	}
	protect_read_keys(conf, 0, (enum sec_mode)f->protection, f->keys_file,
		*f->certs.certificate, &f->keys);
}

unsigned mr_conf_load(struct conf *conf, struct mr_file *f, const struct mr_file *running)
{
	memset(f, 0, sizeof(*f));
	f->path = conf->file;
	conf_read(conf, mr_conf_keys, f);
	if (f->mtu && f->mtu < 1280)
		conf_error(conf, 0, "mtu", "%u is below 1280, the least that IPv6 allows", f->mtu);
	if (f->table >= 253 && f->table <= 255)
		conf_error(conf, 0, "table",
			"%u is one of the kernel's own: traffic would leave outside the tunnel",
			f->table);
	if (!f->core.home_prefix.len)
		f->core.home_prefix = prefix6_mask((struct prefix6){f->core.hoa, 64});
	check_addresses(conf, &f->core);
	check_uplinks(conf, &f->core);
	check_networks(conf, &f->core);
	check_announce(conf, &f->core);
	check_known(conf, &f->core);
	f->core.no_mpd = f->protection == SEC_AUTH;
	protect_owner(running ? running->user : f->user);
	read_keys(conf, f, running);
	memcpy(f->keys.cert_id, f->ha_identity, sizeof(f->keys.cert_id));
	if (!running) /* they can't change then */
		certs_check(conf, &f->certs);
	check_home(conf, &f->core);
	if (f->payload == SEC_PAYLOAD_ESP)
		protect_check_payload(conf, mr_conf_engine(f), 0, (enum sec_mode)f->protection);
	return conf->n_errors;
}

unsigned mr_conf_read(const char *path, struct mr_file *f)
{
	struct conf conf = {.file = path};

	return mr_conf_load(&conf, f, NULL);
}

void mr_conf_free(struct mr_file *f)
{
	keys_wipe(&f->keys);
	conf_release(mr_conf_keys, f);
}
