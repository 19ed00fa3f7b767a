/* nemoctl - looks at and steers the daemons through their control sockets (doc/control.md).  A
 * command asks every daemon it is for, one that acts wants just one. */
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "common/ctl/metrics.h"
#include "common/ctl/peers.h"
#include "common/ctl/show.h"
#include "common/ctl/tenant.h"
#include "common/ctl/text.h"
#include "common/ctl/why.h"
#include "common/os/daemon.h"

#define RUN_DIR "/run/nemo"
#define HA_CONF "/etc/nemo/nemo-ha.conf"
#define MANY    1000
#define HA      PEER_HA
#define MR      PEER_MR
#define NAT64   PEER_NAT64

/* What the tables show: keys of the daemons' data. */
#define BINDING_KEYS \
	"name tenant home_address care_of contested_by state prefixes learned mode remaining_s " \
	"moves rx_bytes " \
	"tx_bytes"
#define ROUTER_KEYS \
	"name tenant home_address prefixes bound barred care_of contested_by last_seen_s " \
	"last_status " \
	"last_status_text drops"
#define MR_KEYS \
	"name state home_address home_agent care_of uplink prefixes mode lifetime_s remaining_s " \
	"refresh_in_s last_status last_status_text handovers engine protection payload " \
	"uptime_s version"
#define NAT64_KEYS \
	"name engine why_tun interfaces interfaces_awaited forward prefixes mappings routes4 " \
	"routes6 translated_6to4 translated_4to6 reloads reload_error loaded_s uptime_s version"

static struct {
	bool json, keep, help, summary, anywhere;
	const char *listen; /* metrics by HTTP */
	const char *conf;   /* the home agent's, for tenants; NULL: HA_CONF */
	struct peers peers;
} g;

static json_t *list_of(char **args)
{
	json_t *list = json_array();

	for (; *args; args++)
		json_array_append_new(list, json_string(*args));
	return list;
}

/* Sends the command to all peers: [{"daemon", "name", "data"}, ...]. */
static json_t *collect(const struct command *c, char **args, int *code)
{
	json_t *request = json_pack("{s:s}", "cmd", c->cmd), *doc;

	if (c->max == MANY && args[0])
		json_object_set_new(request, c->key, list_of(args));
	else if (args[0] && args[1])
		json_object_update_new(request,
			json_pack("{s:s, s:s}", "source", args[0], "destination", args[1]));
	else if (args[0])
		json_object_set_new(request, c->key, json_string(args[0]));
	if (strcmp(c->cmd, "stop") == 0)
		json_object_set_new(request, "keep", json_boolean(g.keep));
	doc = peers_collect(&g.peers, request, code);
	json_decref(request);
	return doc;
}

/* --- commands --- */

static void print_json(const json_t *doc)
{
	json_dumpf(doc, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void print_event(json_t *e)
{
	if (g.json)
		json_dumpf(e, stdout, JSON_COMPACT);
	else
		printf("%s %s %-5s %s: %s", show_text(e, "time"), show_text(e, "name"),
			show_text(e, "level"), show_text(e, "event"), show_text(e, "text"));
	putchar('\n');
	fflush(stdout);
	json_decref(e);
}

/* Runs until the last daemon has ended. */
static int monitor(void)
{
	struct pollfd fds[PEERS_MAX];
	json_t *request = json_pack("{s:s}", "cmd", "monitor"), *e;
	struct timeval never = {0};
	int code;

	for (size_t i = 0; i < g.peers.n; i++) {
		fds[i] = (struct pollfd){.fd = peers_dial(g.peers.v[i].path), .events = POLLIN};
		if (fds[i].fd < 0)
			return EXIT_NO_DAEMON;
		e = peers_ask(fds[i].fd, g.peers.v[i].path, request, peers_next, &code);
		if (!e)
			return code;
		json_decref(e);
		setsockopt(fds[i].fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
	}
	json_decref(request);
	for (size_t left = g.peers.n; left && poll(fds, g.peers.n, -1) > 0;) {
		for (size_t i = 0; i < g.peers.n; i++) {
			if (!fds[i].revents)
				continue;
			if ((e = peers_next(fds[i].fd))) {
				print_event(e);
				continue;
			}
			fprintf(stderr, "nemoctl: %s has ended, or cut this reader off\n",
				g.peers.v[i].name);
			close(fds[i].fd);
			fds[i].fd = -1;
			left--;
		}
	}
	return EXIT_NO_DAEMON;
}

static const struct command commands[] = {
	{.name = "",
		.args = "",
		.cmd = "status",
		.help = "without a command: every daemon in one table",
		.keys = "daemon name address state care_of engine protection uptime_s",
		.show = show_summary},
	{.name = "why",
		.args = "[ROUTER]",
		.cmd = "why",
		.max = 1,
		.help = "what is not well, with all or one router, and what to do about it"},
	{.name = "ha bindings",
		.args = "",
		.kind = HA,
		.cmd = "bindings",
		.help = "registered mobile routers",
		.keys = BINDING_KEYS,
		.show = show_table},
	{.name = "ha routers",
		.args = "",
		.kind = HA,
		.cmd = "routers",
		.help = "configured mobile routers, bound or not",
		.keys = ROUTER_KEYS,
		.show = show_table},
	{.name = "ha revoke",
		.args = "NAME",
		.kind = HA,
		.cmd = "revoke",
		.acts = true,
		.key = "name",
		.min = 1,
		.max = 1,
		.help = "end a router's binding, and refuse it until it is allowed again",
		.did = "{router} is barred until it is allowed again",
		.show = show_act},
	{.name = "ha allow",
		.args = "NAME",
		.kind = HA,
		.cmd = "allow",
		.acts = true,
		.key = "name",
		.min = 1,
		.max = 1,
		.help = "take a revoked router's registrations again",
		.did = "{router} may register",
		.show = show_act},
	{.name = "ha drain",
		.args = "[ADDRESS...]",
		.kind = HA,
		.cmd = "drain",
		.acts = true,
		.key = "home_agents",
		.max = MANY,
		.help = "before maintenance: no new bindings, send routers to these home agents",
		.did = "no new bindings, {bindings} routers are asked to leave; nemoctl ha "
		       "bindings shows those that have not",
		.show = show_act},
	{.name = "ha undrain",
		.args = "",
		.kind = HA,
		.cmd = "undrain",
		.acts = true,
		.help = "take new bindings again",
		.did = "takes new bindings",
		.show = show_act},
	{.name = "ha agents",
		.args = "",
		.kind = HA,
		.cmd = "agents",
		.help = "home agents list: what discovery requests are answered",
		.keys = "source addresses preference mobile_routers link_local remaining_s",
		.show = show_table},
	{.name = "mr status",
		.args = "",
		.kind = MR,
		.cmd = "status",
		.help = "registration, uplinks, last handover",
		.keys = MR_KEYS,
		.show = show_mr},
	{.name = "mr rehome",
		.args = "[UPLINK]",
		.kind = MR,
		.cmd = "rehome",
		.acts = true,
		.key = "uplink",
		.max = 1,
		.help = "look for a network again, as after a migration, on one uplink or all",
		.did = "looking for a network on {uplinks}",
		.show = show_act},
	{.name = "mr stop",
		.args = "[--keep]",
		.kind = MR,
		.cmd = "stop",
		.acts = true,
		.help = "deregister and end; --keep: leave binding and tunnel in place",
		.did = "stopping, the binding is given up",
		.show = show_act},
	{.name = "mr handovers",
		.args = "",
		.kind = MR,
		.cmd = "handovers",
		.help = "past handovers, phases in ms after the hint",
		.keys = HANDOVER_KEYS,
		.show = show_table},
	{.name = "nat64 status",
		.args = "",
		.kind = NAT64,
		.cmd = "status",
		.help = "engine, routes, packets, last reload",
		.keys = NAT64_KEYS,
		.show = show_record},
	{.name = "nat64 mappings",
		.args = "",
		.kind = NAT64,
		.cmd = "mappings",
		.help = "which addresses stand for which",
		.keys = "kind ipv4 ipv6 hosts",
		.show = show_table},
	{.name = "nat64 explain",
		.args = "A [B]",
		.kind = NAT64,
		.cmd = "explain",
		.key = "address",
		.min = 1,
		.max = 2,
		.help = "what becomes of address A, or of a packet from A to B, and why",
		.show = show_explain},
	{.name = "nat64 stats",
		.args = "",
		.kind = NAT64,
		.cmd = "stats",
		.help = "packets by what became of them and by engine",
		.keys = "name value tun ebpf help",
		.show = show_table},
	{.name = "ha reload",
		.args = "",
		.kind = HA,
		.cmd = "reload",
		.acts = true,
		.help = "read the configuration again; a wrong one changes nothing",
		.did = "reloaded; routers: {routers}; bindings: {bindings}",
		.show = show_act},
	{.name = "mr reload",
		.args = "",
		.kind = MR,
		.cmd = "reload",
		.acts = true,
		.help = "read the configuration again; a wrong one changes nothing",
		.did = "reloaded; uplinks: {uplinks}; networks: {networks}",
		.show = show_act},
	{.name = "nat64 reload",
		.args = "",
		.kind = NAT64,
		.cmd = "reload",
		.acts = true,
		.help = "read the configuration again; a wrong one changes nothing",
		.did = "reloaded; mappings: {mappings}; prefixes: {prefixes}",
		.show = show_act},
	{.name = "tenant add",
		.args = "NAME PREFIX [HOME_ADDRESS]",
		.cmd = "tenant add",
		.min = 2,
		.max = 3,
		.help = "a new mobile router: line of the prefix table, secret, seed of its "
			"machine"},
	{.name = "tenant remove",
		.args = "NAME",
		.cmd = "tenant remove",
		.min = 1,
		.max = 1,
		.help = "take all of that away again"},
	{.name = "tenant list",
		.args = "",
		.cmd = "tenant list",
		.help = "mobile routers of the configuration",
		.keys = "name tenant home_address prefixes seed"},
	{.name = "stats",
		.args = "",
		.cmd = "stats",
		.help = "all counters and what they count",
		.keys = "group name value help",
		.show = show_table},
	{.name = "metrics",
		.args = "",
		.cmd = "metrics",
		.help = "all of it for Prometheus; --listen WHERE: by HTTP, --summary: not for "
			"each router"},
	{.name = "monitor",
		.args = "",
		.cmd = "monitor",
		.help = "events as they happen, one a line"}};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

/* Has the command a word in common with these? */
static bool akin(const struct command *c, char **words)
{
	const char *name = c->name;
	char word[TEXT_KEY_SIZE];

	while (text_next_key(&name, word))
		for (char **w = words; *w; w++)
			if (strcmp(*w, word) == 0)
				return true;
	return false;
}

/* Lists the commands: 'only' this one, or those akin to the words, or if there are none all. */
static int usage(FILE *f, const struct command *only, char **words)
{
	bool some = false;

	for (const struct command *c = commands; c < commands + N_COMMANDS; c++)
		some |= words && akin(c, words);
	fputs("usage: nemoctl [-s SOCKET]... [--run DIR] [--json] [COMMAND]\n\n", f);
	for (const struct command *c = commands; c < commands + N_COMMANDS; c++)
		if (only ? c == only : !some || akin(c, words))
			fprintf(f, "  %-14s %-12s  %s\n", c->name, c->args, c->help);
	if (f == stderr && (only || some)) {
		fputs("\nnemoctl --help lists all commands and options\n", f);
		return EXIT_USAGE;
	}
	fputs("\n  -s, --socket SOCKET     ask the daemon at this socket; may be given again\n"
	      "      --run DIR           look for sockets here (default: $NEMO_RUN, " RUN_DIR ")\n"
	      "      --listen WHERE      metrics at ADDRESS:PORT (loopback; any with --anywhere), "
	      "or at\n"
	      "                          this path\n"
	      "      --conf FILE         tenant: the home agent's configuration (default:\n"
	      "                          " HA_CONF ")\n"
	      "      --json              the daemons' data as one JSON document; events: one a "
	      "line\n"
	      "  -h, --help              this text\n"
	      "      --version           version\n",
		f);
	return f == stderr ? EXIT_USAGE : 0;
}

/* How many of the words are the command's name; -1: they are not. */
static int named_by(const struct command *c, char **words)
{
	const char *name = c->name;
	char word[TEXT_KEY_SIZE];
	int n = 0;

	for (; text_next_key(&name, word); n++)
		if (!words[n] || strcmp(words[n], word) != 0)
			return -1;
	return n;
}

/* An option that is given and not this command's; NULL: there is none. */
static const char *wrong_option(const struct command *c)
{
	bool metrics = strcmp(c->cmd, "metrics") == 0, tenant = strncmp(c->cmd, "tenant", 6) == 0;

	return g.keep && strcmp(c->args, "[--keep]") != 0 ? "--keep"
	       : g.listen && !metrics                     ? "--listen"
	       : g.summary && !metrics                    ? "--summary"
	       : g.anywhere && !metrics                   ? "--anywhere"
	       : g.conf && !tenant                        ? "--conf"
							  : NULL;
}

/* The command of the words, and its arguments; NULL after a message: there is no such. */
static const struct command *lookup(char **words, unsigned n_words, char ***args)
{
	const struct command *c = commands + N_COMMANDS - 1;
	unsigned left;

	while (c > commands && named_by(c, words) < 0)
		c--;
	*args = words + named_by(c, words);
	left = n_words - (unsigned)(*args - words);
	if (g.help)
		return c;
	if (c == commands && left)
		fprintf(stderr, "nemoctl: there is no command \"%s%s%s\"\n", words[0],
			left > 1 ? " " : "", left > 1 ? words[1] : "");
	else if (left < c->min || left > c->max)
		fprintf(stderr, "nemoctl: %s takes %s, not %u argument%s\n", c->name,
			*c->args ? c->args : "no argument", left, left == 1 ? "" : "s");
	else if (wrong_option(c))
		fprintf(stderr, "nemoctl: %s is no option of %s\n", wrong_option(c),
			*c->name ? c->name : "the summary");
	else
		return c;
	usage(stderr, c > commands ? c : NULL, c > commands ? NULL : words);
	return NULL;
}

/* -1: go on; else exit with this code. */
static int options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},
		{"run", required_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'},
		{"keep", no_argument, NULL, 'k'},
		{"listen", required_argument, NULL, 'l'},
		{"summary", no_argument, NULL, 'S'},
		{"anywhere", no_argument, NULL, 'a'},
		{"conf", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "s:h", longs, NULL)) != -1) {
		switch (o) {
		case 's':
			if (g.peers.n_paths == PEERS_MAX) {
				fprintf(stderr, "nemoctl: %d sockets at most\n", PEERS_MAX);
				return EXIT_USAGE;
			}
			g.peers.paths[g.peers.n_paths++] = optarg;
			g.peers.named = true;
			break;
		case 'r': g.peers.run = optarg; break;
		case 'j': g.json = true; break;
		case 'k': g.keep = true; break;
		case 'l': g.listen = optarg; break;
		case 'S': g.summary = true; break;
		case 'a': g.anywhere = true; break;
		case 'c': g.conf = optarg; break;
		case 'h': g.help = true; break;
		case 'V': printf("nemoctl %s\n", NEMO_VERSION); return 0;
		default: return usage(stderr, NULL, NULL);
		}
	}
	return -1;
}

/* What was not written is no success: a full disk, a pipe that nobody reads. */
static int finish(int code)
{
	bool bad = ferror(stdout);

	if (fclose(stdout) == 0 && !bad)
		return code;
	fputs("nemoctl: standard output can't be written\n", stderr);
	return code ? code : EXIT_REFUSED;
}

static int on_tenant(const struct command *c, char **args)
{
	struct tenant t = {.conf = g.conf ? g.conf : HA_CONF};
	json_t *list;

	if (strcmp(c->cmd, "tenant list") == 0) {
		list = tenant_list(t.conf);
		if (list && g.json)
			print_json(list);
		else if (list)
			text_table(c->keys, list, "");
		json_decref(list);
		return list ? 0 : EXIT_REFUSED;
	}
	t.name = args[0];
	if (strcmp(c->cmd, "tenant remove") == 0)
		return tenant_remove(&t);
	t.prefix = args[1];
	t.home = args[2];
	return tenant_add(&t);
}

/* Asks the daemons that it is for. */
static int on_daemons(const struct command *c, char **args)
{
	int code = peers_find(&g.peers, c->kind);
	struct command kept = *c;
	json_t *doc;

	if (code)
		return code;
	if (c->acts && g.peers.n > 1) {
		fprintf(stderr, "nemoctl: there are %zu of %s, choose one:\n", g.peers.n, c->kind);
		for (size_t i = 0; i < g.peers.n; i++)
			fprintf(stderr, "  -s %s  (%s)\n", g.peers.v[i].path, g.peers.v[i].name);
		return EXIT_USAGE;
	}
	if (strcmp(c->cmd, "monitor") == 0)
		return monitor();
	doc = strcmp(c->cmd, "why") == 0 ? why_look(&g.peers, args[0], &code)
					 : collect(c, args, &code);
	if (g.keep)
		kept.did = "stopping, binding and tunnel stay";
	if (g.json)
		print_json(doc);
	else if (!c->show)
		why_print(doc);
	else if (json_array_size(doc))
		c->show(&kept, doc, g.peers.n > 1);
	json_decref(doc);
	peers_forget(&g.peers);
	return code;
}

int main(int argc, char **argv)
{
	const struct command *c;
	char **args;
	int code;

	g.peers.run = getenv("NEMO_RUN") ? getenv("NEMO_RUN") : RUN_DIR;
	code = options(argc, argv);
	if (code >= 0)
		return finish(code);
	c = lookup(argv + optind, (unsigned)(argc - optind), &args);
	if (!c)
		return EXIT_USAGE;
	if (g.help)
		code = usage(stdout, *c->name ? c : NULL, NULL);
	else if (strcmp(c->cmd, "metrics") == 0)
		code = g.listen ? metrics_serve(&g.peers, g.summary, g.listen, g.anywhere)
				: metrics_write(&g.peers, g.summary, stdout);
	else if (strncmp(c->cmd, "tenant", 6) == 0)
		code = on_tenant(c, args);
	else
		code = on_daemons(c, args);
	return finish(code);
}
