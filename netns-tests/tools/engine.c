/* engine.c - drives a tunnel engine and the signalling capture from lines on stdin, so that a test
 * can try them inside a network namespace without the daemons.  One JSON line per answer.
 *   engine [-m] [-d DEV] [-t TABLE] [-M MTU] [-l LIMIT] [-a FROM:TO]... [-s bpf|packet] [-n] ENGINE
 * -m: role mobile router; -s: open the capture in this mode; -n: no tunnel engine.
 * Lines: attach IFNAME | put ID LOCAL REMOTE TENANT [old ADDR] [oif IFNAME] [routes P...] [inner
 * P...] | ahead SECONDS (the engine's clock) | drop ID | stats ID | counters | audit | close [keep]
 * | local ADDR | unlocal ADDR | take BITS | send HEX [IFNAME] | sigcounters */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/sig.h"
#include "common/tunnel/tunnel.h"

#define MAX_WORDS 128
#define MAX_ALLOW 64

struct driver {
	sd_event *event;
	const struct tunnel_engine *engine; /* NULL: none open */
	struct tunnel_set *set;
	struct sig *sig;
	char line[65536];
	size_t n_line;
};

static uint64_t ahead_ms;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 + ahead_ms;
}

static void answer(json_t *j) /* takes the reference */
{
	char *text = json_dumps(j, JSON_COMPACT);

	puts(text);
	fflush(stdout);
	free(text);
	json_decref(j);
}

static void answer_rc(int rc)
{
	answer(json_pack("{s:i, s:s}", "rc", rc, "error", rc < 0 ? strerror(-rc) : ""));
}

static bool addr(const char *text, struct in6_addr *out)
{
	return text && inet_pton(AF_INET6, text, out) == 1;
}

static void do_put(struct driver *d, char **w, unsigned n)
{
	struct tunnel t = {0};
	enum { NONE, ROUTES, INNER } list = NONE;
	int rc = 0;

	if (n < 5 || !addr(w[1], &t.id) || !addr(w[2], &t.local) || !addr(w[3], &t.remote)) {
		answer_rc(-EINVAL);
		return;
	}
	t.tenant = (uint32_t)strtoul(w[4], NULL, 0);
	for (unsigned i = 5; rc >= 0 && i < n; i++) {
		if (!strcmp(w[i], "old") && i + 1 < n)
			rc = addr(w[++i], &t.old_local) ? 0 : -EINVAL;
		else if (!strcmp(w[i], "oif") && i + 1 < n)
			t.oif = if_nametoindex(w[++i]);
		else if (!strcmp(w[i], "routes"))
			list = ROUTES;
		else if (!strcmp(w[i], "inner"))
			list = INNER;
		else if (list == ROUTES && t.n_routes < TUNNEL_MAX_ROUTES)
			rc = prefix6_parse(w[i], &t.routes[t.n_routes++]);
		else if (list == INNER && t.n_inner < TUNNEL_MAX_ROUTES)
			rc = prefix6_parse(w[i], &t.inner[t.n_inner++]);
		else
			rc = -EINVAL;
	}
	answer_rc(rc < 0 ? rc : d->engine->put(d->set, &t));
}

static void do_stats(struct driver *d, const struct in6_addr *id)
{
	struct tunnel_stats s;
	int rc = d->engine->stats(d->set, id, &s);

	answer(json_pack("{s:i, s:I, s:I, s:I, s:I}", "rc", rc, "rx_packets",
		(json_int_t)s.rx_packets, "rx_bytes", (json_int_t)s.rx_bytes, "tx_packets",
		(json_int_t)s.tx_packets, "tx_bytes", (json_int_t)s.tx_bytes));
}

static void do_counters(struct driver *d)
{
	struct tunnel_counters c;
	json_t *j = json_object(), *counts = json_object();

	json_object_set_new(j, "rc", json_integer(d->engine->counters(d->set, &c)));
	for (int i = 0; i < TUNNEL_N_DROPS; i++)
		json_object_set_new(j, tunnel_drop_name((enum tunnel_drop)i),
			json_integer((json_int_t)c.drop[i]));
	for (int i = 0; i < TUNNEL_N_COUNTS; i++)
		json_object_set_new(counts, tunnel_count_name((enum tunnel_count)i),
			json_integer((json_int_t)c.count[i]));
	json_object_set_new(j, "counts", counts);
	answer(j);
}

static void on_seen(void *arg, const struct in6_addr *id)
{
	char buf[INET6_ADDRSTRLEN];

	json_array_append_new(arg, json_string(addr6_str(id, buf)));
}

static void do_audit(struct driver *d)
{
	json_t *ids = json_array();

	d->engine->audit(d->set, on_seen, ids);
	answer(json_pack("{s:i, s:o}", "rc", 0, "ids", ids));
}

static void do_close(struct driver *d, bool keep)
{
	if (d->engine)
		d->engine->close(d->set, keep);
	d->engine = NULL;
	sig_close(d->sig);
	d->sig = NULL;
	answer_rc(0);
}

static void on_packet(void *arg, const void *pkt, size_t size, unsigned ifindex)
{
	const uint8_t *p = pkt;
	char *hex = malloc(2 * size + 1), ifname[IFNAMSIZ] = "";

	(void)arg;
	if (!hex)
		return;
	hex[0] = '\0';
	for (size_t i = 0; i < size; i++)
		sprintf(hex + 2 * i, "%02x", p[i]);
	if_indextoname(ifindex, ifname);
	answer(json_pack("{s:s, s:s}", "sig", hex, "if", ifname));
	free(hex);
}

static void do_send(struct driver *d, const char *hex, const char *ifname)
{
	uint8_t pkt[2304];
	size_t n = 0;

	for (; n < sizeof(pkt) && hex[2 * n] && hex[2 * n + 1]; n++)
		sscanf(hex + 2 * n, "%2hhx", &pkt[n]);
	answer_rc(sig_send(d->sig, pkt, n, ifname ? if_nametoindex(ifname) : 0));
}

static void do_attach(struct driver *d, const char *ifname)
{
	unsigned ifindex = if_nametoindex(ifname);
	int rc = ifindex ? 0 : -ENODEV;

	if (rc >= 0 && d->engine)
		rc = d->engine->attach(d->set, ifindex);
	if (rc >= 0 && d->sig)
		rc = sig_attach(d->sig, ifindex);
	answer_rc(rc);
}

static void do_line(struct driver *d, char *line)
{
	char *w[MAX_WORDS] = {0}, *save = NULL;
	struct in6_addr a;
	unsigned n = 0;

	for (char *p = strtok_r(line, " ", &save); p && n < MAX_WORDS - 1;
		p = strtok_r(NULL, " ", &save))
		w[n++] = p;
	if (!n)
		return;
	if (!strcmp(w[0], "close")) {
		do_close(d, n > 1 && !strcmp(w[1], "keep"));
	} else if (!strcmp(w[0], "attach") && n == 2) {
		do_attach(d, w[1]);
	} else if (d->sig && !strcmp(w[0], "local") && addr(w[1], &a)) {
		answer_rc(sig_local_put(d->sig, &a));
	} else if (d->sig && !strcmp(w[0], "unlocal") && addr(w[1], &a)) {
		answer_rc(sig_local_drop(d->sig, &a));
	} else if (d->sig && !strcmp(w[0], "take") && n == 2) {
		answer_rc(sig_take(d->sig, (uint32_t)strtoul(w[1], NULL, 0)));
	} else if (d->sig && !strcmp(w[0], "send") && n >= 2) {
		do_send(d, w[1], w[2]);
	} else if (d->sig && !strcmp(w[0], "sigcounters")) {
		struct sig_counters c;

		sig_counters(d->sig, &c);
		answer(json_pack("{s:i, s:I, s:I, s:I, s:I}", "rc", 0, "rx", (json_int_t)c.rx,
			"lost", (json_int_t)c.lost, "tx", (json_int_t)c.tx, "tx_errors",
			(json_int_t)c.tx_errors));
	} else if (!strcmp(w[0], "ahead") && n == 2) {
		ahead_ms = strtoull(w[1], NULL, 0) * 1000;
		answer_rc(0);
	} else if (d->engine && !strcmp(w[0], "put")) {
		do_put(d, w, n);
	} else if (d->engine && !strcmp(w[0], "drop") && addr(w[1], &a)) {
		answer_rc(d->engine->drop(d->set, &a));
	} else if (d->engine && !strcmp(w[0], "stats") && addr(w[1], &a)) {
		do_stats(d, &a);
	} else if (d->engine && !strcmp(w[0], "counters")) {
		do_counters(d);
	} else if (d->engine && !strcmp(w[0], "audit")) {
		do_audit(d);
	} else {
		answer_rc(-EINVAL);
	}
}

static int on_stdin(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct driver *d = arg;
	ssize_t n = read(fd, d->line + d->n_line, sizeof(d->line) - d->n_line - 1);
	char *nl;

	(void)s, (void)revents;
	if (n <= 0)
		return sd_event_exit(d->event, 0);
	d->n_line += (size_t)n;
	d->line[d->n_line] = '\0';
	while ((nl = strchr(d->line, '\n'))) {
		*nl = '\0';
		do_line(d, d->line);
		d->n_line -= (size_t)(nl + 1 - d->line);
		memmove(d->line, nl + 1, d->n_line + 1);
	}
	return 0;
}

static int open_all(struct driver *d, const char *engine, const struct tunnel_conf *conf,
	const char *sig, char *why)
{
	int rc = 0;

	if (engine)
		rc = tunnel_open(engine, conf, &d->engine, &d->set, why);
	if (rc >= 0 && sig)
		rc = sig_open(&d->sig, strcmp(sig, "bpf") ? SIG_PACKET : SIG_BPF, d->event,
			on_packet, NULL, why);
	return rc;
}

int main(int argc, char **argv)
{
	static struct driver d;
	struct tunnel_allow allow[MAX_ALLOW];
	struct tunnel_conf conf = {.role = TUNNEL_HA,
		.dev = "nemo0",
		.table = 254,
		.mtu = 1460,
		.now_ms = now_ms,
		.allow = allow};
	const char *sig = NULL;
	char why[WHY_SIZE] = "";
	int opt, rc;
	bool no_engine = false;

	while ((opt = getopt(argc, argv, "md:t:M:l:a:s:n")) != -1) {
		switch (opt) {
		case 'm': conf.role = TUNNEL_MR; break;
		case 'd': snprintf(conf.dev, sizeof(conf.dev), "%s", optarg); break;
		case 't': conf.table = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 'M': conf.mtu = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'l': conf.encap_limit = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'a':
			if (conf.n_allow < MAX_ALLOW &&
				sscanf(optarg, "%u:%u", &allow[conf.n_allow].from,
					&allow[conf.n_allow].to) == 2)
				conf.n_allow++;
			break;
		case 's': sig = optarg; break;
		case 'n': no_engine = true; break;
		default: return 2;
		}
	}
	rc = sd_event_new(&d.event);
	conf.event = d.event;
	if (rc >= 0)
		rc = open_all(&d,
			no_engine       ? NULL
			: optind < argc ? argv[optind]
					: "auto",
			&conf, sig, why);
	answer(json_pack(
		"{s:i, s:s, s:s}", "rc", rc, "why", why, "engine", d.engine ? d.engine->name : ""));
	if (rc < 0)
		return 1;
	sd_event_add_io(d.event, NULL, STDIN_FILENO, EPOLLIN, on_stdin, &d);
	sd_event_loop(d.event);
	return 0;
}
