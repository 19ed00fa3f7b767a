/* conf.c - the home agent's configuration: key table, and what has to fit together. */
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <uthash.h>
#include "common/os/protect.h"
#include "ha/agents.h"
#include "ha/conf.h"
#include "ha/table.h"

static const char *const engines[] = {"auto", "ebpf", "ip6tnl", NULL};
static const char *const router_protections[] = {"default", [1 + SEC_NONE] = "none",
	[1 + SEC_AUTH] = "auth-option", [1 + SEC_ESP_STATIC] = "esp-static", [1 + SEC_ESP] = "esp",
	NULL};

#define ROUTER(type_, member) .type = type_, .off = offsetof(struct ha_router, member)
static const struct conf_key router_keys[] = {
	{.name = "name",
		ROUTER(CONF_STRING, name),
		.size = HA_NAME_SIZE,
		.required = true,
		.help = "name of the mobile router, for logs and nemoctl"},
	{.name = "home_address",
		ROUTER(CONF_ADDR6, hoa),
		.required = true,
		.help = "its home address: identifies it in every registration"},
	{.name = "prefixes",
		ROUTER(CONF_PREFIX6S, prefixes),
		.max = MH_MAX_MNP,
		.elem_size = sizeof(struct prefix6),
		.n_off = offsetof(struct ha_router, n_prefixes),
		.help = "mobile network prefixes that it may register; none: a mobile host"},
	{.name = "learn",
		ROUTER(CONF_PREFIX6S, learn),
		.max = MH_MAX_MNP,
		.elem_size = sizeof(struct prefix6),
		.n_off = offsetof(struct ha_router, n_learn),
		.help = "what it may announce by a routing protocol: these prefixes and parts of "
			"them"},
	{.name = "tenant",
		ROUTER(CONF_STRING, tenant),
		.size = HA_NAME_SIZE,
		.required = true,
		.help = "whose network it is: traffic between tenants needs an allow line"},
	{.name = "max_lifetime",
		ROUTER(CONF_UINT, max_lifetime_s),
		.def = "0",
		.max = 262140,
		.help = "longest binding granted to it, seconds; 0: the home agent's"},
	{.name = "mobile_router",
		ROUTER(CONF_BOOL, mobile_router),
		.def = "true",
		.help = "may register networks (R flag); false: status 140"},
	{.name = "protection",
		ROUTER(CONF_ENUM, protection),
		.def = "default",
		.choices = router_protections,
		.help = "of its signalling; default: the home agent's"},
	{.name = "keys",
		ROUTER(CONF_STRING, keys),
		.size = HA_PATH_SIZE,
		.help = "file with its secrets, which nobody else may read (see SECURITY.md)"},
	{.name = "identity",
		ROUTER(CONF_STRING, identity),
		.size = HA_PATH_SIZE,
		.def = "",
		.help = "DNS name or URI of its certificate, for protection = \"esp\""},
	{.name = CONF_LINE_KEY, ROUTER(CONF_UINT, line), .size = 1},
	{.name = NULL},
};

#define ALLOW(member) .off = offsetof(struct ha_allow_conf, member)
static const struct conf_key allow_keys[] = {
	{.name = "from",
		.type = CONF_STRING,
		ALLOW(from),
		.size = HA_NAME_SIZE,
		.required = true,
		.help = "tenant that sends"},
	{.name = "to",
		.type = CONF_STRING,
		ALLOW(to),
		.size = HA_NAME_SIZE,
		.required = true,
		.help = "tenant that receives"},
	{.name = CONF_LINE_KEY, .type = CONF_UINT, ALLOW(line), .size = 1},
	{.name = NULL},
};

#define AGENT(member) .off = offsetof(struct ha_agent_conf, member)
static const struct conf_key agent_keys[] = {
	{.name = "address",
		.type = CONF_ADDR6,
		AGENT(address),
		.required = true,
		.help = "address that routers register with"},
	{.name = "preference",
		.type = CONF_UINT,
		AGENT(preference),
		.def = "0",
		.max = 65535,
		.help = "as its advertisements would say"},
	{.name = "mobile_routers",
		.type = CONF_BOOL,
		AGENT(mobile_routers),
		.def = "true",
		.help = "it serves mobile routers; false: hosts only"},
	{.name = CONF_LINE_KEY, .type = CONF_UINT, AGENT(line), .size = 1},
	{.name = NULL},
};

#define KEY(type_, member) .type = type_, .off = offsetof(struct ha_file, member)
#define N(member)          .n_off = offsetof(struct ha_file, member)
const struct conf_key ha_conf_keys[] = {
	{.name = "name",
		KEY(CONF_STRING, name),
		.size = HA_NAME_SIZE,
		.def = "ha",
		.help = "name of this home agent, for logs and nemoctl"},
	{.name = "address",
		KEY(CONF_ADDR6, core.address),
		.required = true,
		.help = "home agent address: end of every tunnel; must be configured on this host"},
	{.name = "interfaces",
		KEY(CONF_STRINGS, interfaces),
		.required = true,
		.max = TUNNEL_MAX_LINKS,
		.elem_size = IFNAMSIZ,
		N(n_interfaces),
		.help = "where registrations and tunnel packets come in"},
	{.name = "home_prefixes",
		KEY(CONF_PREFIX6S, core.home),
		.elem_size = sizeof(struct prefix6),
		N(core.n_home),
		.help = "home network: prefixes that home addresses come from"},
	{.name = "home_link",
		KEY(CONF_STRING, home_link),
		.size = IFNAMSIZ,
		.def = "",
		.help = "interface on the home link: home addresses are probed for duplicates and "
			"proxied there; empty: no home address is on a real link"},
	{.name = "dad_ms",
		KEY(CONF_UINT, core.dad_ms),
		.def = "1000",
		.max = 10000,
		.help = "duplicate address detection on the home link before a first registration, "
			"ms; 0: none"},
	{.name = "home_routes",
		KEY(CONF_BOOL, home_routes),
		.def = "false",
		.help = "routers that are not bound are at home: route their networks to their "
			"home "
			"addresses on the home link (tenants are not kept apart there)"},
	{.name = "aggregates",
		KEY(CONF_PREFIX6S, core.aggregates),
		.elem_size = sizeof(struct prefix6),
		N(core.n_aggregates),
		.help = "covering prefixes: what is not bound in them is unreachable, not "
			"forwarded"},
	{.name = "max_lifetime",
		.live = true,
		KEY(CONF_UINT, core.max_lifetime_s),
		.def = "600",
		.min = 4,
		.max = 262140,
		.help = "longest binding granted, seconds"},
	{.name = "heartbeat",
		.live = true,
		KEY(CONF_UINT, core.heartbeat_s),
		.def = "0",
		.max = 3600,
		.help = "how often a bound router is asked whether it lives, seconds; 0: never "
			"(the routers ask)"},
	{.name = "heartbeat_misses",
		.live = true,
		KEY(CONF_UINT, core.heartbeat_misses),
		.def = "3",
		.max = 100,
		.help = "so many in a row may stay unanswered before the router counts as silent"},
	{.name = "revoke_timeout_ms",
		.live = true,
		KEY(CONF_UINT, core.revoke_ms),
		.def = "1000",
		.min = 500,
		.max = 60000,
		.help = "first wait for the answer to a revocation, doubling; ms"},
	{.name = "revoke_timeout_max_ms",
		.live = true,
		KEY(CONF_UINT, core.revoke_max_ms),
		.def = "2000",
		.min = 500,
		.max = 60000,
		.help = "longest wait for the answer to a revocation, ms"},
	{.name = "revoke_retries",
		.live = true,
		KEY(CONF_UINT, core.revoke_retries),
		.def = "1",
		.max = 20,
		.help = "how often a revocation is sent again before the binding is removed "
			"without an answer"},
	{.name = "switch_rate",
		.live = true,
		KEY(CONF_UINT, core.switch_rate),
		.def = "1",
		.min = 1,
		.max = 1000,
		.help = "how many routers a second are sent to other home agents by nemoctl ha "
			"drain"},
	{.name = "prefix_advertisements",
		.live = true,
		KEY(CONF_BOOL, core.mpa),
		.def = "true",
		.help = "tell routers away from home of the home prefixes, when they ask and when "
			"something changes"},
	{.name = "prefix_interval_min",
		.live = true,
		KEY(CONF_UINT, core.mpa_min_s),
		.def = "600",
		.max = 86400,
		.help = "least delay between a change and telling of it unasked, seconds "
			"(MinMobPfxAdvInterval)"},
	{.name = "prefix_interval_max",
		.live = true,
		KEY(CONF_UINT, core.mpa_max_s),
		.def = "86400",
		.min = 1,
		.max = 864000,
		.help = "a router is told at least this often, seconds (MaxMobPfxAdvInterval)"},
	{.name = "preference",
		KEY(CONF_UINT, core.preference),
		.def = "0",
		.max = 65535,
		.help = "own one in answers to home agent discovery, higher is better; the same as "
			"radvd's HomeAgentPreference"},
	{.name = "home_agents",
		KEY(CONF_GROUPS, core.agents),
		.max = AGENTS_MAX - 1,
		.elem_size = sizeof(struct ha_agent_conf),
		N(core.n_agents),
		.sub = agent_keys,
		.help = "other home agents for the same home network, besides those that advertise "
			"themselves on home_link"},
	{.name = "routers",
		.live = true,
		KEY(CONF_GROUPS, core.routers),
		.elem_size = sizeof(struct ha_router),
		N(core.n_routers),
		.sub = router_keys,
		.help = "prefix table: only what stands here can be registered"},
	{.name = "allow",
		KEY(CONF_GROUPS, allow),
		.elem_size = sizeof(struct ha_allow_conf),
		N(n_allow),
		.sub = allow_keys,
		.help = "traffic allowed from one tenant to another"},
	{.name = "engine",
		KEY(CONF_ENUM, engine),
		.def = "auto",
		.choices = engines,
		.help = "tunnel engine; auto: ebpf, else ip6tnl"},
	{.name = "mtu",
		KEY(CONF_UINT, mtu),
		.def = "0",
		.max = 65495,
		.help = "inner MTU, octets, 1280 at least; 0: the smallest interface's less 40"},
	{.name = "encap_limit",
		KEY(CONF_UINT, encap_limit),
		.def = "0",
		.max = 255,
		.help = "how often what enters the tunnel may be encapsulated again on its way "
			"(RFC 2473 s4.1.1; 4 is usual), 8 octets in every packet; 0: not said; "
			"engine ebpf"},
	{.name = "protection",
		KEY(CONF_ENUM, protection),
		.def = "esp",
		.choices = sec_modes,
		.help = "of the signalling; esp: keys by TLS; esp-static: RFC 3776, auth-option: "
			"RFC "
			"4285, keys by hand; none: in clear, anyone can register"},
	CERTS_KEYS(struct ha_file, certs),
	{.name = "payload",
		KEY(CONF_ENUM, payload),
		.def = "none",
		.choices = sec_payloads,
		.help = "protection of what the tunnel carries; esp: by the kernel, needs "
			"protection "
			"= \"esp\", engine ip6tnl and the same at the routers"},
	{.name = "state_file",
		KEY(CONF_STRING, state_file),
		.size = HA_PATH_SIZE,
		.def = "/var/lib/nemo/ha.state",
		.help = "what has to survive a restart: bindings, numbers against replay, orders "
			"of "
			"nemoctl"},
	{.name = "session_file",
		KEY(CONF_STRING, session_file),
		.size = HA_PATH_SIZE,
		.def = "/run/nemo/ha.sessions",
		.help = "keys made by TLS, for a restart; must be on a tmpfs, else or if empty "
			"they are made anew"},
	{.name = "control",
		KEY(CONF_STRING, control),
		.size = 108,
		.def = "/run/nemo/ha.sock",
		.help = "control socket for nemoctl"},
	{.name = "key_port",
		KEY(CONF_UINT, key_port),
		.def = "7439",
		.min = 1,
		.max = 65535,
		.help = "TCP port of the key exchange, for protection = \"esp\""},
	{.name = "control_group",
		KEY(CONF_STRING, control_group),
		.size = HA_NAME_SIZE,
		.help = "group whose members may use the control socket as root may"},
	{.name = "control_readers",
		KEY(CONF_STRING, control_readers),
		.size = HA_NAME_SIZE,
		.help = "group whose members may look only; the socket's file belongs to it"},
	{.name = "user",
		KEY(CONF_STRING, user),
		.size = HA_NAME_SIZE,
		.def = "nemo",
		.help = "the daemon becomes this user once all is open; if there is none it stays"},
	{.name = NULL},
};

const char *ha_conf_engine(const struct ha_file *f)
{
	return engines[f->engine];
}

enum sec_mode ha_conf_protection(const struct ha_file *f, const struct ha_router *r)
{
	return (enum sec_mode)(r->protection ? r->protection - 1 : f->protection);
}

struct tenant {
	const char *name;
	uint32_t id;
	UT_hash_handle hh, hh_id;
};

/* A tenant's number comes of its name, so that the next configuration has the same: tunnels that
 * are there when it comes keep theirs.  Two names of one hash are told apart all the same. */
static uint32_t new_id(struct tenant *ids, const char *name)
{
	struct tenant *t;
	uint32_t id;

	HASH_JEN(name, strlen(name), id);
	for (;; id++) {
		id += !id; /* 0 is nobody */
		HASH_FIND(hh_id, ids, &id, sizeof(id), t);
		if (!t)
			return id;
	}
}

/* All of them by name, for free_tenants(). */
static struct tenant *number_tenants(struct ha_conf *c)
{
	struct tenant *all = NULL, *ids = NULL, *t;

	for (unsigned i = 0; i < c->n_routers; i++) {
		struct ha_router *r = &c->routers[i];

		HASH_FIND_STR(all, r->tenant, t);
		if (!t) {
			t = calloc(1, sizeof(*t));
			if (!t)
				abort();
			t->name = r->tenant;
			t->id = new_id(ids, t->name);
			HASH_ADD_KEYPTR(hh, all, t->name, strlen(t->name), t);
			HASH_ADD(hh_id, ids, id, sizeof(t->id), t);
		}
		r->tenant_id = t->id;
	}
	HASH_CLEAR(hh_id, ids);
	return all;
}

static void free_tenants(struct tenant *all)
{
	struct tenant *t, *tmp;

	HASH_ITER (hh, all, t, tmp) {
		HASH_DEL(all, t);
		free(t);
	}
}

static uint32_t tenant_id(const struct tenant *all, const char *name)
{
	const struct tenant *t;

	HASH_FIND_STR(all, name, t);
	return t ? t->id : 0;
}

static void check_allow(struct conf *conf, struct ha_file *f, const struct tenant *tenants)
{
	f->allow_ids = calloc(f->n_allow + 1, sizeof(*f->allow_ids));
	if (!f->allow_ids)
		abort();
	for (unsigned i = 0; i < f->n_allow; i++) {
		const struct ha_allow_conf *a = &f->allow[i];

		f->allow_ids[i].from = tenant_id(tenants, a->from);
		f->allow_ids[i].to = tenant_id(tenants, a->to);
		if (!f->allow_ids[i].from)
			conf_error(conf, a->line, "allow.from", "no router has tenant \"%s\"",
				a->from);
		if (!f->allow_ids[i].to)
			conf_error(conf, a->line, "allow.to", "no router has tenant \"%s\"", a->to);
	}
}

static bool served(const struct ha_conf *c, const struct ha_router *r)
{
	for (unsigned i = 0; i < c->n_home; i++)
		if (prefix6_has(&c->home[i], &r->hoa))
			return true;
	for (unsigned i = 0; i < r->n_prefixes; i++)
		if (prefix6_has(&r->prefixes[i], &r->hoa))
			return true;
	return false;
}

struct seen {
	const void *key;
	unsigned line;
	UT_hash_handle hh;
};

static void check_twice(struct conf *conf, struct seen **all, const void *key, size_t size,
	unsigned line, const char *what)
{
	struct seen *s;

	HASH_FIND(hh, *all, key, size, s);
	if (s) {
		conf_error(conf, line, what, "used before, in line %u", s->line);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->key = key;
	s->line = line;
	HASH_ADD_KEYPTR(hh, *all, key, size, s);
}

static void free_seen(struct seen *all)
{
	struct seen *s, *tmp;

	HASH_ITER (hh, all, s, tmp) {
		HASH_DEL(all, s);
		free(s);
	}
}

/* A daemon that has given up root's rights can't read root's files again: what it knows of a router
 * holds then. */
static bool known_keys(
	struct ha_file *f, unsigned i, enum sec_mode mode, const struct ha_file *running)
{
	const struct ha_router *r = &f->core.routers[i], *was;
	char buf[PATH_MAX];
	bool credential;
	unsigned k = i;

	if (!running || mode == SEC_NONE || !running->core.n_routers ||
		access(protect_find_secret(r->keys, buf, &credential), R_OK) == 0 ||
		errno != EACCES)
		return false;
	for (unsigned n = 0; n < running->core.n_routers; n++, k++) {
		was = &running->core.routers[k % running->core.n_routers];
		if (!addr6_eq(&was->hoa, &r->hoa))
			continue;
		f->keys[i] = running->keys[k % running->core.n_routers];
		return strcmp(was->keys, r->keys) == 0 && ha_conf_protection(running, was) == mode;
	}
	return false;
}

/* An identity stands for one home address. */
static void read_keys(struct conf *conf, struct ha_file *f, const struct ha_file *running)
{
	struct seen *ids = NULL, *names = NULL;

	f->keys = OPENSSL_zalloc((f->core.n_routers + 1) * sizeof(*f->keys));
	if (!f->keys)
		abort();
	for (unsigned i = 0; i < f->core.n_routers; i++) {
		struct ha_router *r = &f->core.routers[i];
		enum sec_mode mode = ha_conf_protection(f, r);
		const char *id = f->keys[i].psk.id;

		r->no_mpd = mode == SEC_AUTH;
		if (!known_keys(f, i, mode, running))
			protect_read_keys(conf, r->line, mode, r->keys, *r->identity, &f->keys[i]);
		/* Keys that were known may have had another. */
		memset(f->keys[i].cert_id, 0, sizeof(f->keys[i].cert_id));
		memcpy(f->keys[i].cert_id, r->identity, strlen(r->identity));
		if (mode == SEC_ESP && *id)
			check_twice(conf, &ids, id, strlen(id), r->line, "keys: psk identity");
		if (*r->identity)
			check_twice(conf, &names, r->identity, strlen(r->identity), r->line,
				"identity");
		if (*r->identity && (mode != SEC_ESP || !*f->certs.certificate))
			conf_error(conf, r->line, "identity",
				"needs protection = \"esp\" and the home agent's certificate");
	}
	free_seen(ids);
	free_seen(names);
	if (!running) /* they can't change then */
		certs_check(conf, &f->certs);
}

static void check_routers(struct conf *conf, const struct ha_conf *c)
{
	struct seen *names = NULL, *hoas = NULL;

	for (unsigned i = 0; i < c->n_routers; i++) {
		const struct ha_router *r = &c->routers[i];

		if (conf_misread(conf, &r->hoa))
			continue;
		if (!addr6_is_routable(&r->hoa))
			conf_error(conf, r->line, "home_address", "not a unicast routable address");
		else if (!conf->partial && !served(c, r))
			conf_error(conf, r->line, "home_address",
				"in none of home_prefixes and none of the router's own prefixes");
		if (r->max_lifetime_s && r->max_lifetime_s < 4) /* counted in units of 4 s */
			conf_error(conf, r->line, "max_lifetime",
				"%u is below 4, the least there is", r->max_lifetime_s);
		check_twice(conf, &names, r->name, strlen(r->name), r->line, "name");
		check_twice(conf, &hoas, &r->hoa, sizeof(r->hoa), r->line, "home_address");
	}
	free_seen(names);
	free_seen(hoas);
}

static void check_network(struct conf *conf, const struct ha_conf *c, const struct ha_router *r,
	const char *key, const struct prefix6 *p)
{
	char s[PREFIX6_STRLEN];

	if (conf_misread(conf, &p->addr))
		return;
	if (p->len == 0 || !addr6_is_routable(&p->addr))
		conf_error(conf, r->line, key, "%s is no prefix for a network", prefix6_str(p, s));
	else if (prefix6_has(p, &c->address))
		conf_error(conf, r->line, key, "%s has the home agent's address in it",
			prefix6_str(p, s));
}

/* What a routing daemon says must never reach what others, or the home network, have. */
static void check_learn(struct conf *conf, const struct ha_conf *c, const struct ha_router *r)
{
	char sa[PREFIX6_STRLEN], sb[PREFIX6_STRLEN];

	for (unsigned i = 0; i < r->n_learn; i++) {
		const struct prefix6 *p = &r->learn[i];

		check_network(conf, c, r, "learn", p);
		for (unsigned k = 0; k < c->n_home; k++)
			if (prefix6_overlaps(p, &c->home[k]))
				conf_error(conf, r->line, "learn", "%s overlaps home prefix %s",
					prefix6_str(p, sa), prefix6_str(&c->home[k], sb));
	}
}

static void check_prefixes(struct conf *conf, const struct ha_conf *c)
{
	struct table t;
	char sa[PREFIX6_STRLEN], sb[PREFIX6_STRLEN];

	for (unsigned i = 0; i < c->n_routers; i++) {
		for (unsigned k = 0; k < c->routers[i].n_prefixes; k++)
			check_network(
				conf, c, &c->routers[i], "prefixes", &c->routers[i].prefixes[k]);
		check_learn(conf, c, &c->routers[i]);
	}
	if (table_build(&t, c) < 0)
		abort();
	for (unsigned a = 0, b = 1; b < t.n; b++) { /* 'a' is the last that nothing covers */
		const struct ha_router *ra = &c->routers[t.v[a].router],
				       *rb = &c->routers[t.v[b].router];

		if (!prefix6_overlaps(&t.v[a].prefix, &t.v[b].prefix)) {
			a = b;
			continue;
		}
		conf_error(conf, rb->line, "prefixes", "%s of %s overlaps %s of %s (line %u)",
			prefix6_str(&t.v[b].prefix, sb), rb->name, prefix6_str(&t.v[a].prefix, sa),
			ra->name, ra->line);
	}
	table_free(&t);
}

static void check_payload(struct conf *conf, const struct ha_file *f)
{
	enum sec_mode mode = (enum sec_mode)f->protection;
	unsigned line = 0;

	if (f->payload != SEC_PAYLOAD_ESP)
		return;
	for (unsigned i = 0; i < f->core.n_routers && mode == SEC_ESP; i++) {
		line = f->core.routers[i].line;
		mode = ha_conf_protection(f, &f->core.routers[i]);
	}
	protect_check_payload(conf, ha_conf_engine(f), line, mode);
}

static void check_agents(struct conf *conf, const struct ha_conf *c)
{
	for (unsigned i = 0; i < c->n_agents; i++) {
		const struct ha_agent_conf *a = &c->agents[i];

		if (conf_misread(conf, &a->address))
			continue;
		if (!addr6_is_routable(&a->address))
			conf_error(conf, a->line, "home_agents.address",
				"not a unicast routable address");
		if (addr6_eq(&a->address, &c->address))
			conf_error(conf, a->line, "home_agents.address",
				"is our own; preference is the key for that");
	}
}

unsigned ha_conf_load(struct conf *conf, struct ha_file *f, const struct ha_file *running)
{
	struct tenant *tenants;

	memset(f, 0, sizeof(*f));
	f->path = conf->file;
	if (conf_read(conf, ha_conf_keys, f) > 0 && !f->core.n_routers)
		return conf->n_errors; /* nothing to compare */
	if (!conf_misread(conf, &f->core.address) && !addr6_is_routable(&f->core.address))
		conf_error(conf, 0, "address", "not a unicast routable address");
	f->core.home_link = f->home_link[0];
	if (f->core.home_link && !f->core.n_home)
		conf_error(conf, 0, "home_link", "needs home_prefixes: what is on that link");
	if (f->home_routes && !f->core.home_link)
		conf_error(conf, 0, "home_routes", "needs home_link");
	if (f->mtu && f->mtu < 1280)
		conf_error(conf, 0, "mtu", "%u is below 1280, the least that IPv6 allows", f->mtu);
	check_agents(conf, &f->core);
	check_routers(conf, &f->core);
	check_prefixes(conf, &f->core);
	tenants = number_tenants(&f->core);
	check_allow(conf, f, tenants);
	free_tenants(tenants);
	protect_owner(f->user);
	read_keys(conf, f, running);
	check_payload(conf, f);
	return conf->n_errors;
}

unsigned ha_conf_read(const char *path, struct ha_file *f)
{
	struct conf conf = {.file = path};

	return ha_conf_load(&conf, f, NULL);
}

void ha_conf_free(struct ha_file *f)
{
	if (f->keys)
		OPENSSL_clear_free(f->keys, (f->core.n_routers + 1) * sizeof(*f->keys));
	conf_release(ha_conf_keys, f);
	free(f->allow_ids);
}
