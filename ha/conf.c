/* conf.c - the home agent's configuration: key table; what has to fit together is in conf_check.c.
 */
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>
#include "common/os/daemon.h"
#include "common/os/protect.h"
#include "ha/agents.h"
#include "ha/conf.h"

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
		.help = "where registrations and tunnel packets come in; engine ebpf: of "
			"Ethernet's kind"},
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
	PROTECT_KEYS(struct ha_file, "ha", "bindings", "routers"),
	DAEMON_KEYS(struct ha_file, "/run/nemo/ha.sock"),
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

unsigned ha_conf_load(struct conf *conf, struct ha_file *f, const struct ha_file *running)
{
	memset(f, 0, sizeof(*f));
	f->path = conf->file;
	if (conf_read(conf, ha_conf_keys, f) > 0 && !f->core.n_routers)
		return conf->n_errors; /* nothing to compare */
	f->core.home_link = f->home_link[0];
	ha_conf_check(conf, f, running);
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
	free(f->refused);
	free(f->allow_ids);
}
