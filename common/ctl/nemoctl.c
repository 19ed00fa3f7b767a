/* nemoctl - looks at and steers the daemons through their control sockets (doc/control.md).  Every
 * command but those that act asks all daemons it concerns.  Exit: 0, 1 = a daemon said no, 2 =
 * usage, 3 = no daemon. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/os/daemon.h"

#define RUN_DIR   "/run/nemo"
#define TIMEOUT_S 10
#define MAX_FOUND 256
#define HA        "nemo-ha"
#define MR        "nemo-mr"
#define PHASES    "ms.rs ms.ra ms.coa ms.bu ms.ba ms.first_packet"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NONE = 3 };

struct peer { /* one daemon */
	const char *path;
	json_t *status; /* owned */
	const char *kind, *name;
	int fd; /* of 'monitor' */
};

static struct {
	const char *run;
	bool named; /* by -s */
	bool json, keep, help;
	const char *paths[MAX_FOUND];
	size_t n_paths;
	struct peer peers[MAX_FOUND];
	size_t n_peers;
} g;

/* --- talking to a daemon --- */

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval t = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *hint = "";

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	if (errno == ECONNREFUSED)
		hint = ": its daemon has ended; start it again";
	else if (errno == ENOENT)
		hint = ": is the daemon running, with this control socket?";
	else if (errno == EACCES)
		hint = ": only root may ask the daemons";
	fprintf(stderr, "nemoctl: %s: %s%s\n", path, strerror(errno), hint);
	close(fd);
	return -1;
}

static bool say(int fd, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	bool ok = text && dprintf(fd, "%s\n", text) > 0;

	free(text);
	return ok;
}

/* The "data" of the answer, a new reference; NULL: '*code' is the exit code, the reason was told.
 */
static json_t *ask(const char *path, const json_t *request, int *code)
{
	int fd = dial(path);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	json_t *answer = NULL, *data;
	json_error_t e;

	*code = EXIT_NONE;
	if (!f)
		return NULL;
	if (say(fd, request))
		answer = json_loadf(f, JSON_DISABLE_EOF_CHECK, &e);
	fclose(f);
	if (!answer) {
		fprintf(stderr, "nemoctl: %s: no answer within %d s, or not one of a nemo daemon\n",
		        path, TIMEOUT_S);
		return NULL;
	}
	data = json_incref(json_object_get(answer, "data"));
	if (!json_is_true(json_object_get(answer, "ok")) || !data) {
		const char *why = json_string_value(json_object_get(answer, "error"));

		fprintf(stderr, "nemoctl: %s: %s\n", path, why ? why : "answer without a reason");
		*code = EXIT_REFUSED;
		json_decref(data);
		data = NULL;
	}
	json_decref(answer);
	return data;
}

/* Asks for the status of every daemon there may be, keeps those of 'kind' (NULL: any).  0 or an
 * exit code. */
static int find(const char *kind)
{
	json_t *request = json_pack("{s:s}", "cmd", "status");
	size_t n_others = 0;
	char pattern[256];
	static glob_t found; /* owns the paths */
	int code = 0;

	if (!g.named) {
		snprintf(pattern, sizeof(pattern), "%s/*.sock", g.run);
		if (glob(pattern, 0, NULL, &found) == 0)
			for (size_t i = 0; i < found.gl_pathc && g.n_paths < MAX_FOUND; i++)
				g.paths[g.n_paths++] = found.gl_pathv[i];
	}
	for (size_t i = 0; i < g.n_paths; i++) {
		int e;
		struct peer p = {
		        .path = g.paths[i], .status = ask(g.paths[i], request, &e), .fd = -1};

		if (!p.status) {
			code = g.named ? e
			               : code; /* a socket left by a crash hides no other daemon */
			continue;
		}
		p.kind = json_string_value(json_object_get(p.status, "daemon"));
		p.name = json_string_value(json_object_get(p.status, "name"));
		if (p.kind && p.name && (!kind || strcmp(kind, p.kind) == 0)) {
			g.peers[g.n_peers++] = p;
		} else {
			n_others++;
			json_decref(p.status);
		}
	}
	json_decref(request);
	if (g.n_peers || code)
		return code;
	fprintf(stderr, "nemoctl: no %s found: %s%s%s, ", kind ? kind : "daemon",
	        g.named ? "not at the sockets given" : "looked for ", g.named ? "" : g.run,
	        g.named ? "" : "/*.sock");
	if (n_others)
		fprintf(stderr, "there are only daemons of the other kind\n");
	else
		fprintf(stderr, "start one, or name its socket with -s or its folder with --run\n");
	return EXIT_NONE;
}

/* --- tables: made of keys, since keys carry their units --- */

#define KEY_SIZE 32

/* Takes the next of the keys in a list separated by blanks; false at the end. */
static bool next_key(const char **keys, char key[KEY_SIZE])
{
	size_t n = strcspn(*keys, " ");

	snprintf(key, KEY_SIZE, "%.*s", (int)n, *keys);
	*keys += n + strspn(*keys + n, " ");
	return n > 0;
}

static bool ends(const char *s, const char *end)
{
	return strlen(s) > strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

/* "remaining_s" is "remaining", "ms.first_packet" is "first packet". */
static json_t *title(const char *key, bool upper)
{
	const char *dot = strchr(key, '.');
	char text[KEY_SIZE];

	snprintf(text, sizeof(text), "%s", dot ? dot + 1 : key);
	if (ends(text, "_s"))
		text[strlen(text) - 2] = '\0';
	for (char *p = text; *p; p++)
		*p = *p == '_' ? ' ' : upper ? (char)toupper((unsigned char)*p) : *p;
	return json_string(text);
}

static json_t *duration(double s)
{
	unsigned long n = s > 0 ? (unsigned long)(s + 0.5) : 0;

	if (n < 60)
		return json_sprintf("%lu s", n);
	if (n < 3600)
		return json_sprintf("%lu min %lu s", n / 60, n % 60);
	if (n < 86400)
		return json_sprintf("%lu h %lu min", n / 3600, n / 60 % 60);
	return json_sprintf("%lu d %lu h", n / 86400, n / 3600 % 24);
}

static json_t *bytes(double n)
{
	static const char units[] = " kMGTP";
	unsigned u = 0;

	while (n >= 1000 && u < sizeof(units) - 2) {
		n /= 1000;
		u++;
	}
	return u ? json_sprintf("%.1f %cB", n, units[u]) : json_sprintf("%.0f B", n);
}

/* The value of 'key' as text. */
static json_t *cell(const char *key, const json_t *v)
{
	json_t *list = NULL;
	const json_t *e;
	size_t i;

	if (json_is_number(v) && ends(key, "_s"))
		return duration(json_number_value(v));
	if (json_is_number(v) && ends(key, "_bytes"))
		return bytes(json_number_value(v));
	if (json_is_integer(v))
		return json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
	if (json_is_real(v))
		return json_sprintf("%.1f", json_real_value(v));
	if (json_is_boolean(v))
		return json_string(json_is_true(v) ? "yes" : "no");
	if (json_is_string(v) && json_string_length(v))
		return json_string(json_string_value(v));
	json_array_foreach ((json_t *)v, i, e) {
		json_t *one = cell(key, e), *old = list;

		list = old ? json_sprintf("%s, %s", json_string_value(old), json_string_value(one))
		           : json_incref(one);
		json_decref(one);
		json_decref(old);
	}
	return list ? list : json_string("-");
}

static json_t *field(const json_t *row, const char *key)
{
	const char *dot = strchr(key, '.');

	if (dot)
		row = json_object_getn(row, key, (size_t)(dot - key));
	return cell(key, json_object_get(row, dot ? dot + 1 : key));
}

/* The heading (row NULL) or a row as an array of texts. */
static json_t *line_of(const char *keys, const json_t *row)
{
	json_t *line = json_array();
	char key[KEY_SIZE];

	while (next_key(&keys, key))
		json_array_append_new(line, row ? field(row, key) : title(key, true));
	return line;
}

static void table(const char *keys, const json_t *rows, const char *indent)
{
	json_t *lines = json_pack("[o]", line_of(keys, NULL)), *line, *s;
	const json_t *row;
	size_t i, j, width[32] = {0};

	json_array_foreach ((json_t *)rows, i, row)
		json_array_append_new(lines, line_of(keys, row));
	json_array_foreach (lines, i, line)
		json_array_foreach (line, j, s)
			if (json_string_length(s) > width[j])
				width[j] = json_string_length(s);
	json_array_foreach (lines, i, line) {
		json_array_foreach (line, j, s)
			printf("%s%-*s", j ? "  " : indent,
			        j + 1 < json_array_size(line) ? (int)width[j] : 0,
			        json_string_value(s));
		putchar('\n');
	}
	json_decref(lines);
}

/* --- commands --- */

struct command {
	const char *group, *verb; /* "ha" "bindings"; 'verb' may be "" */
	const char *kind;         /* the daemon it is for; NULL: all */
	const char *cmd;          /* of the request; NULL: "status" has it all */
	const char *args, *help;
	const char *keys; /* columns of its table */
	int (*run)(const struct command *, const char *arg);
};

static json_t *tagged(const struct peer *p, json_t *data)
{
	return json_pack("{s:s, s:s, s:o}", "daemon", p->kind, "name", p->name, "data", data);
}

static int print_json(json_t *doc)
{
	json_dumpf(doc, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(doc);
	return 0;
}

static int print_all_status(void)
{
	json_t *doc = json_array();

	for (struct peer *p = g.peers; p < g.peers + g.n_peers; p++)
		json_array_append_new(doc, tagged(p, json_incref(p->status)));
	return print_json(doc);
}

/* Appends copies of 'data' (borrowed) to the table; with several daemons they say whose they are.
 */
static void add_rows(json_t *rows, const struct peer *p, json_t *data)
{
	json_t *list = json_is_array(data) ? data : json_object_get(data, "counters"), *row;
	size_t i;

	json_array_foreach (list, i, row) {
		row = json_copy(row);
		json_object_set_new(row, "daemon", json_string(p->name));
		json_array_append_new(rows, row);
	}
}

/* A table, or the data as JSON, from all daemons of the kind. */
static int run_table(const struct command *c, const char *arg)
{
	json_t *doc = json_array(), *rows = json_array(), *data;
	json_t *request = json_pack("{s:s}", "cmd", c->cmd);
	char keys[256];
	int code = 0, e;

	(void)arg;
	for (struct peer *p = g.peers; p < g.peers + g.n_peers; p++) {
		data = ask(p->path, request, &e);
		code = data ? code : e;
		if (!data)
			continue;
		add_rows(rows, p, data);
		json_array_append_new(doc, tagged(p, data));
	}
	snprintf(keys, sizeof(keys), "%s%s", g.n_peers > 1 ? "daemon " : "", c->keys);
	if (g.json)
		print_json(json_incref(doc));
	else if (json_array_size(doc))
		table(keys, rows, "");
	json_decref(request);
	json_decref(rows);
	json_decref(doc);
	return code;
}

static json_t *summary_row(const struct peer *p)
{
	json_t *row = json_copy(p->status), *care_of = json_object_get(row, "care_of");

	if (strcmp(p->kind, HA) == 0)
		json_object_set_new(row, "state",
		        json_sprintf("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
		                     " routers bound",
		                json_integer_value(json_object_get(row, "bindings")),
		                json_integer_value(json_object_get(row, "routers"))));
	else
		json_object_set(row, "address", json_object_get(row, "home_address"));
	if (json_is_string(care_of))
		json_object_set_new(row, "state",
		        json_sprintf("%s at %s", json_string_value(json_object_get(row, "state")),
		                json_string_value(care_of)));
	return row;
}

static int run_summary(const struct command *c, const char *arg)
{
	json_t *rows;

	(void)arg;
	if (g.json)
		return print_all_status();
	rows = json_array();
	for (struct peer *p = g.peers; p < g.peers + g.n_peers; p++)
		json_array_append_new(rows, summary_row(p));
	table(c->keys, rows, "");
	json_decref(rows);
	return 0;
}

static void mr_status(const char *keys, const struct peer *p)
{
	json_t *uplinks = json_object_get(p->status, "uplinks"), *name, *text;
	json_t *last = json_object_get(p->status, "last_handover");
	char key[KEY_SIZE];

	while (next_key(&keys, key)) {
		name = title(key, false);
		text = field(p->status, key);
		printf("%-18s%s\n", json_string_value(name), json_string_value(text));
		json_decref(name);
		json_decref(text);
	}
	if (json_array_size(uplinks)) {
		printf("\nuplinks\n");
		table("interface preference state care_of router router_mac known_links", uplinks,
		        "  ");
	}
	if (json_is_object(last)) {
		json_t *rows = json_pack("[O]", last);

		printf("\nlast handover\n");
		table("n at cause from to uplink known_link", rows, "  ");
		printf("\n  ms from the hint to\n");
		table(PHASES, rows, "  ");
		json_decref(rows);
	}
}

static int run_mr_status(const struct command *c, const char *arg)
{
	(void)arg;
	if (g.json)
		return print_all_status();
	for (size_t i = 0; i < g.n_peers; i++) {
		if (i)
			putchar('\n');
		mr_status(c->keys, &g.peers[i]);
	}
	return 0;
}

static int choose(void)
{
	fprintf(stderr, "nemoctl: there are %zu mobile routers, choose one:\n", g.n_peers);
	for (size_t i = 0; i < g.n_peers; i++)
		fprintf(stderr, "  -s %s  (%s)\n", g.peers[i].path, g.peers[i].name);
	return EXIT_USAGE;
}

/* Commands that act, on one daemon. */
static int run_act(const struct command *c, const char *arg)
{
	bool stop = strcmp(c->verb, "stop") == 0;
	json_t *request, *data, *uplinks;
	int code;

	if (g.n_peers > 1)
		return choose();
	request = json_pack("{s:s}", "cmd", c->cmd);
	if (arg)
		json_object_set_new(request, "uplink", json_string(arg));
	if (stop)
		json_object_set_new(request, "keep", json_boolean(g.keep));
	data = ask(g.peers[0].path, request, &code);
	json_decref(request);
	if (!data)
		return code;
	if (g.json)
		return print_json(json_pack("[o]", tagged(&g.peers[0], data)));
	uplinks = field(data, "uplinks");
	if (stop)
		printf("%s: stopping, %s\n", g.peers[0].name,
		        g.keep ? "binding and tunnel stay" : "the binding is given up");
	else
		printf("%s: looking for a network on %s\n", g.peers[0].name,
		        json_string_value(uplinks));
	json_decref(uplinks);
	json_decref(data);
	return 0;
}

/* One event of the stream, or NULL at its end.  Reads not one octet more, so that poll() is true to
 * what is left. */
static json_t *next_event(int fd)
{
	json_t *event = json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL);
	char newline;

	if (event && read(fd, &newline, 1) != 1) {
		json_decref(event);
		return NULL;
	}
	return event;
}

static void print_event(json_t *e)
{
	const char *time = NULL, *name = NULL, *event = NULL, *level = NULL, *text = NULL;

	if (g.json) {
		json_dumpf(e, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		json_unpack(e, "{s?s, s?s, s?s, s?s, s?s}", "time", &time, "name", &name, "event",
		        &event, "level", &level, "text", &text);
		printf("%s %s %-5s %s: %s\n", time ? time : "-", name ? name : "-",
		        level ? level : "-", event ? event : "-", text ? text : "");
	}
	fflush(stdout);
	json_decref(e);
}

static int run_monitor(const struct command *c, const char *arg)
{
	struct pollfd fds[MAX_FOUND];
	json_t *request = json_pack("{s:s}", "cmd", "monitor"), *e;
	size_t n = g.n_peers;
	struct timeval never = {0};

	(void)c, (void)arg;
	for (size_t i = 0; i < g.n_peers; i++) {
		int fd = dial(g.peers[i].path);

		fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
		if (fd < 0)
			return EXIT_NONE;
		e = say(fd, request) ? next_event(fd) : NULL;
		if (!json_is_true(json_object_get(e, "ok"))) {
			fprintf(stderr, "nemoctl: %s: gives no events\n", g.peers[i].path);
			return EXIT_REFUSED;
		}
		json_decref(e);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
	}
	json_decref(request);
	while (n && poll(fds, g.n_peers, -1) > 0) {
		for (size_t i = 0; i < g.n_peers; i++) {
			if (!fds[i].revents)
				continue;
			e = next_event(fds[i].fd);
			if (e) {
				print_event(e);
				continue;
			}
			fprintf(stderr, "nemoctl: %s: ended, or cut this reader off\n",
			        g.peers[i].name);
			close(fds[i].fd);
			fds[i].fd = -1;
			n--;
		}
	}
	return EXIT_NONE;
}

static const struct command summary = {"", "", NULL, NULL, "", "every daemon in one table",
        "daemon name address state engine protection uptime_s", run_summary};
static const struct command commands[] = {
        {"ha", "bindings", HA, "bindings", "", "registered mobile routers",
                "name tenant home_address care_of state prefixes mode remaining_s moves rx_bytes "
                "tx_bytes",
                run_table},
        {"ha", "routers", HA, "routers", "", "configured mobile routers, bound or not",
                "name tenant home_address prefixes bound care_of last_seen_s last_status "
                "last_status_text",
                run_table},
        {"mr", "status", MR, NULL, "", "registration, uplinks, last handover",
                "name state home_address home_agent care_of uplink prefixes mode lifetime_s "
                "remaining_s "
                "refresh_in_s last_status last_status_text handovers engine protection uptime_s "
                "version",
                run_mr_status},
        {"mr", "rehome", MR, "rehome", "[UPLINK]",
                "look for a network again, as after a migration, on one uplink or all", "",
                run_act},
        {"mr", "stop", MR, "stop", "[--keep]",
                "deregister and end; --keep: leave binding and tunnel in place", "", run_act},
        {"mr", "handovers", MR, "handovers", "", "past handovers, ms from the hint to each phase",
                "n at cause from to uplink known_link " PHASES, run_table},
        {"stats", "", NULL, "stats", "", "all counters and what they count",
                "group name value help", run_table},
        {"monitor", "", NULL, "monitor", "", "events as they happen, one a line", "", run_monitor}};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

/* "ha bindings [ARGS]" */
static int print_command(FILE *f, const struct command *c)
{
	return fprintf(f, "%s%s%s%s%s", c->group, *c->verb ? " " : "", c->verb, *c->args ? " " : "",
	        c->args);
}

static void usage(FILE *f)
{
	fprintf(f,
	        "usage: nemoctl [-s SOCKET]... [--run DIR] [--json] [COMMAND]\n\n"
	        "Without a command: %s.\n\n",
	        summary.help);
	for (const struct command *c = commands; c < commands + N_COMMANDS; c++) {
		fputs("  ", f);
		fprintf(f, "%*s%s\n", 22 - print_command(f, c), "", c->help);
	}
	fprintf(f, "\n  -s, --socket SOCKET  ask the daemon at this socket; may be given several "
	           "times\n"
	           "      --run DIR        look for sockets in DIR (default: $NEMO_RUN, or " RUN_DIR
	           ")\n"
	           "      --json           print the daemons' data as one JSON document\n"
	           "                       (monitor: one event a line)\n"
	           "  -h, --help           this text; after a command, the command's\n"
	           "      --version        version\n");
}

/* Which command the words are, how many were used; NULL: none. */
static const struct command *lookup(char **words, int n, int *used)
{
	*used = 0;
	if (n == 0)
		return &summary;
	for (const struct command *c = commands; c < commands + N_COMMANDS; c++) {
		*used = *c->verb ? 2 : 1;
		if (n >= *used && strcmp(c->group, words[0]) == 0 &&
		        (!*c->verb || strcmp(c->verb, words[1]) == 0))
			return c;
	}
	return NULL;
}

/* -1: go on; else exit with this code. */
static int options(int argc, char **argv)
{
	enum { OPT_RUN = 256, OPT_JSON, OPT_KEEP, OPT_VERSION };
	static const struct option longs[] = {
	        {"socket", required_argument, NULL, 's'},
	        {"run", required_argument, NULL, OPT_RUN},
	        {"json", no_argument, NULL, OPT_JSON},
	        {"keep", no_argument, NULL, OPT_KEEP},
	        {"help", no_argument, NULL, 'h'},
	        {"version", no_argument, NULL, OPT_VERSION},
	        {0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "s:h", longs, NULL)) != -1) {
		switch (o) {
		case 's':
			if (g.n_paths < MAX_FOUND)
				g.paths[g.n_paths++] = optarg;
			g.named = true;
			break;
		case OPT_RUN: g.run = optarg; break;
		case OPT_JSON: g.json = true; break;
		case OPT_KEEP: g.keep = true; break;
		case 'h': g.help = true; break;
		case OPT_VERSION: printf("nemoctl %s\n", NEMO_VERSION); return 0;
		default: usage(stderr); return EXIT_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	const struct command *c;
	int code, used, n;

	g.run = getenv("NEMO_RUN") ? getenv("NEMO_RUN") : RUN_DIR;
	code = options(argc, argv);
	if (code >= 0)
		return code;
	argv += optind;
	n = argc - optind;
	c = lookup(argv, n, &used);
	if (g.help && (!c || c == &summary)) {
		usage(stdout);
		return 0;
	}
	if (!c) {
		fprintf(stderr, "nemoctl: no such command: %s%s%s\n", argv[0], n > 1 ? " " : "",
		        n > 1 ? argv[1] : "");
		usage(stderr);
		return EXIT_USAGE;
	}
	if (g.help || n - used > (strcmp(c->args, "[UPLINK]") == 0) ||
	        (g.keep && strcmp(c->args, "[--keep]") != 0)) {
		FILE *f = g.help ? stdout : stderr;

		fputs("usage: nemoctl [-s SOCKET]... [--run DIR] [--json] ", f);
		print_command(f, c);
		fprintf(f, "\n%s\n", c->help);
		return g.help ? 0 : EXIT_USAGE;
	}
	code = find(c->kind);
	if (g.n_peers && !(code && g.named)) {
		int e = c->run(c, n > used ? argv[used] : NULL);

		code = e ? e : code;
	}
	for (size_t i = 0; i < g.n_peers; i++)
		json_decref(g.peers[i].status);
	return code;
}
