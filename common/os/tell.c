/* tell.c - notes and counters for people and programs. */
#include <stdio.h>
#include <time.h>
#include "common/core/addr.h"
#include "common/os/log.h"
#include "common/os/tell.h"

static const char *const levels[] = {
	[LOG_ERR] = "err", [LOG_WARNING] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

static void set_addr(json_t *o, const char *key, const struct in6_addr *a)
{
	char s[INET6_ADDRSTRLEN];

	if (!addr6_is_any(a))
		json_object_set_new(o, key, json_string(addr6_str(a, s)));
}

static json_t *note_json(const char *daemon, const struct note *n, const struct timespec *at)
{
	struct tm tm;
	char date[32], time[48];

	gmtime_r(&at->tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time, sizeof(time), "%s.%03ldZ", date, at->tv_nsec / 1000000);
	json_t *o = json_pack("{ss ss ss ss ss ss}", "time", time, "daemon", daemon, "name",
		n->name, "event", note_event(n->type), "level", levels[note_level(n->type)], "text",
		n->text);

	set_addr(o, "home_address", &n->hoa);
	set_addr(o, "care_of", &n->coa);
	set_addr(o, "old_care_of", &n->old_coa);
	if (n->status >= 0)
		json_object_set_new(o, "status", json_integer(n->status));
	if (n->lifetime_s)
		json_object_set_new(o, "lifetime_s", json_integer(n->lifetime_s));
	return o;
}

static int print_addr(char *buf, size_t size, const char *label, const struct in6_addr *a)
{
	char s[INET6_ADDRSTRLEN];

	return addr6_is_any(a) ? 0 : snprintf(buf, size, " %s %s", label, addr6_str(a, s));
}

#define N_FIELDS   7
#define FIELD_SIZE 256

/* The journal's fields of a note; returns how many. */
static unsigned note_fields(const struct note *n, char buf[N_FIELDS][FIELD_SIZE])
{
	const struct {
		const char *name;
		const struct in6_addr *a;
	} addrs[] = {{"NEMO_HOME_ADDRESS", &n->hoa}, {"NEMO_CARE_OF", &n->coa},
		{"NEMO_OLD_CARE_OF", &n->old_coa}};
	char s[INET6_ADDRSTRLEN];
	unsigned k = 0;

	snprintf(buf[k++], FIELD_SIZE, "NEMO_EVENT=%s", note_event(n->type));
	snprintf(buf[k++], FIELD_SIZE, "NEMO_ROUTER=%s", n->name);
	for (unsigned i = 0; i < 3; i++)
		if (!addr6_is_any(addrs[i].a))
			snprintf(buf[k++], FIELD_SIZE, "%s=%s", addrs[i].name,
				addr6_str(addrs[i].a, s));
	if (n->status >= 0)
		snprintf(buf[k++], FIELD_SIZE, "NEMO_STATUS=%d", n->status);
	if (n->text[0])
		snprintf(buf[k++], FIELD_SIZE, "NEMO_REASON=%s", n->text);
	return k;
}

static void log_note(const struct note *n)
{
	char fields[N_FIELDS][FIELD_SIZE], line[768];
	const char *v[N_FIELDS];
	unsigned n_fields = note_fields(n, fields);
	int k = snprintf(line, sizeof(line), "%s %s", note_event(n->type), n->name);

	k += print_addr(line + k, sizeof(line) - (size_t)k, "home", &n->hoa);
	k += print_addr(line + k, sizeof(line) - (size_t)k, "at", &n->coa);
	k += print_addr(line + k, sizeof(line) - (size_t)k, "was", &n->old_coa);
	if (n->lifetime_s)
		k += snprintf(line + k, sizeof(line) - (size_t)k, " for %u s", n->lifetime_s);
	if (n->status >= 128) /* one without a text of ours, too */
		k += snprintf(line + k, sizeof(line) - (size_t)k, " (status %d)", n->status);
	snprintf(line + k, sizeof(line) - (size_t)k, "%s%s", n->text[0] ? ": " : "", n->text);
	for (unsigned i = 0; i < n_fields; i++)
		v[i] = fields[i];
	log_fields(note_level(n->type), line, v, n_fields);
}

void tell_note(struct ctl *ctl, const char *daemon, const struct note *n)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	tell_note_at(ctl, daemon, n, &now);
}

void tell_note_at(
	struct ctl *ctl, const char *daemon, const struct note *n, const struct timespec *at)
{
	if (log_takes(note_level(n->type)))
		log_note(n);
	if (ctl_listened(ctl))
		ctl_publish(ctl, note_json(daemon, n, at));
}

void tell_counter(
	json_t *list, const char *group, const char *name, uint64_t value, const char *help)
{
	json_array_append_new(list, json_pack("{ss sI ss ss}", "name", name, "value",
					    (json_int_t)value, "group", group, "help", help));
}

void tell_statuses(json_t *list, const uint64_t *n)
{
	static const unsigned char statuses[] = {
#define X(number, name, text) number,
		MH_STATUSES(X)
#undef X
	};
	char name[8];

	for (unsigned i = 0; i < sizeof(statuses); i++) {
		snprintf(name, sizeof(name), "%u", statuses[i]);
		if (statuses[i] >= 128)
			tell_counter(
				list, "rejected", name, n[statuses[i]], mh_status_str(statuses[i]));
	}
}

void tell_mhio(json_t *list, struct mhio *io)
{
	static const struct {
		const char *name, *help;
	} c[] = {
#define X(name, text) {#name, text},
		MHIO_COUNTERS(X)
#undef X
	};

	for (unsigned i = 0; i < MHIO_N_COUNTERS; i++)
		tell_counter(list, "signalling", c[i].name, mhio_counter(io, i), c[i].help);
}

void tell_tunnel(json_t *list, const struct tunnel_engine *engine, struct tunnel_set *set)
{
	struct tunnel_counters c = {0};

	engine->counters(set, &c);
	for (unsigned i = 0; i < TUNNEL_N_DROPS; i++)
		tell_counter(list, "drop", tunnel_drop_name(i), c.drop[i], tunnel_drop_text(i));
	for (unsigned i = 0; i < TUNNEL_N_COUNTS; i++)
		tell_counter(
			list, "tunnel", tunnel_count_name(i), c.count[i], tunnel_count_text(i));
}

json_t *tell_traffic(const struct tunnel_stats *st)
{
	return json_pack("{sI sI sI sI}", "rx_packets", (json_int_t)st->rx_packets, "rx_bytes",
		(json_int_t)st->rx_bytes, "tx_packets", (json_int_t)st->tx_packets, "tx_bytes",
		(json_int_t)st->tx_bytes);
}
