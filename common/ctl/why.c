/* why.c - conclusions from states, statuses and counters; doc/OPERATIONS.md has the same in words.
 */
#include "common/ctl/why.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "common/ctl/show.h"
#include "common/ctl/text.h"

#define REFUSED 128 /* statuses from here on */

/* What to do about a Binding Acknowledgement's status. */
static const struct {
	int status;
	const char *todo;
} statuses[] = {
	{129, "is its home_address in a line of the home agent's routers? is it barred (nemoctl ha "
	      "allow NAME), or does the home agent drain (nemoctl ha undrain)?"},
	{130, "the home agent's log says what its kernel refused: memory, or the limit of a map"},
	{132, "its home_address has to be in home_prefixes of the home agent, and that prefix "
	      "alive"},
	{134, "another node of the home link has its home address: tcpdump -i HOME_LINK icmp6"},
	{140, "its line at the home agent says mobile_router = false"},
	{141, "networks in nemo-mr.conf: one is no prefix that can be registered"},
	{142, "networks in nemo-mr.conf have to stand in prefixes of its line at the home agent"},
	{143, "mode = \"implicit\" needs prefixes in its line at the home agent"},
	{144, "the clocks of both ends differ: NTP"},
	{145, "both ends need protection = \"auth-option\" of this suite"},
	{146, "the secrets differ: the same keys file at both ends"},
	{174, "its uplink is inside a home network, or behind itself: the wrong network"},
};

/* What they count can be why nothing arrives. */
static const char suspects[] =
	"auth_failed auth_missing auth_spi auth_stamp sec_clear sec_stranger key_failed "
	"key_identity key_home_address key_payload esp_icv esp_spi mh_protection mh_tx_errors "
	"mh_bad_checksum dad_failed ra_unusable error_rx";

static const char *todo_of(json_int_t status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].todo;
	return "nemo-ha(8), STATUSES, says what it means; the home agent's log has the line";
}

/* One conclusion; 'router' and 'todo' may be NULL. */
__attribute__((format(printf, 5, 6))) static void say(
	json_t *list, const char *router, bool ok, const char *todo, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(list, json_pack("{s:s?, s:b, s:s, s:s?}", "router", router, "ok", ok,
					    "what", text, "do", todo));
}

/* The daemon's answer to a command; NULL after a message. */
static json_t *ask(const struct peer *p, const char *cmd)
{
	json_t *request = json_pack("{s:s}", "cmd", cmd), *data;
	int code;

	data = peers_ask_at(p->path, request, &code);
	json_decref(request);
	return data;
}

static bool has_word(const char *words, const char *word)
{
	char one[TEXT_KEY_SIZE];

	while (text_next_key(&words, one))
		if (strcmp(one, word) == 0)
			return true;
	return false;
}

static void look_at_counters(const struct peer *p, json_t *list)
{
	json_t *stats = ask(p, "stats"), *c;
	json_int_t value;
	size_t i;

	json_array_foreach (json_object_get(stats, "counters"), i, c) {
		value = json_integer_value(json_object_get(c, "value"));
		if (value && has_word(suspects, show_text(c, "name")))
			say(list, NULL, false, "doc/OPERATIONS.md, What the counters say",
				"since its start %s = %" JSON_INTEGER_FORMAT ": %s",
				show_text(c, "name"), value, show_text(c, "help"));
	}
	json_decref(stats);
}

/* What has to be let through between the two ends. */
static const char *path_of(const json_t *o)
{
	return strncmp(show_text(o, "protection"), "esp", 3) == 0
		       ? "nemoctl why there; do firewalls on the way let IP protocols 50 (ESP) and "
			 "41, "
			 "and TCP key_port, through?"
		       : "nemoctl why there; do firewalls on the way let IP protocols 135 and 41 "
			 "through?";
}

/* --- home agent --- */

/* False: it is not known why this one is not bound. */
static bool look_at_router(const json_t *r, json_t *list)
{
	const char *name = show_text(r, "name");
	json_int_t status = -1;
	char ago[TEXT_SIZE];

	text_field(r, "last_seen_s", ago);
	json_unpack((json_t *)r, "{s:I}", "last_status", &status);
	if (json_is_string(json_object_get(r, "contested_by")))
		say(list, name, false,
			"a clone of it runs, or a snapshot: end one of them, new keys for the "
			"other",
			"two machines take its binding from each other: %s and %s",
			show_text(r, "care_of"), show_text(r, "contested_by"));
	else if (json_is_true(json_object_get(r, "bound")))
		say(list, name, true, NULL, "bound at %s", show_text(r, "care_of"));
	else if (json_is_true(json_object_get(r, "barred")))
		say(list, name, false, "nemoctl ha allow NAME, then nemoctl mr rehome there",
			"revoked by an operator");
	else if (status >= REFUSED)
		say(list, name, false, todo_of(status),
			"not bound: refused with status %d, %s; last heard of %s ago", (int)status,
			show_text(r, "last_status_text"), ago);
	else if (status >= 0)
		say(list, name, false,
			"nemoctl why there: is it switched off, has it lost its uplink?",
			"not bound: it de-registered, or its lifetime ended; last heard of %s ago",
			ago);
	else
		say(list, name, false, path_of(r),
			"not bound: no registration has come since this home agent started");
	return status >= 0 || json_is_true(json_object_get(r, "bound"));
}

static void look_at_ha(const struct peer *p, const char *router, json_t *list)
{
	json_t *routers = ask(p, "routers"), *r;
	bool explained = true;
	size_t i;

	if (json_is_true(json_object_get(p->status, "draining")))
		say(list, NULL, false, "nemoctl ha undrain", "it drains: no new bindings");
	json_array_foreach (routers, i, r)
		if (!router || strcmp(router, show_text(r, "name")) == 0)
			explained &= look_at_router(r, list);
	if (!explained)
		look_at_counters(p, list);
	json_decref(routers);
}

/* --- mobile router --- */

static void look_at_uplinks(const json_t *status, const char *name, json_t *list)
{
	const json_t *u;
	size_t i;

	json_array_foreach (json_object_get(status, "uplinks"), i, u) {
		const char *state = show_text(u, "state"), *interface = show_text(u, "interface");

		if (strcmp(state, "down") == 0)
			say(list, name, false,
				"ip link: is it there, is it up, is there a carrier?",
				"uplink %s is down", interface);
		else if (strcmp(state, "searching") == 0)
			say(list, name, false,
				"does an access router advertise a /64 with A flag there (radvd)? "
				"tcpdump -i INTERFACE icmp6 shows it",
				"uplink %s hears no usable Router Advertisement", interface);
	}
}

static void look_at_mr(const struct peer *p, json_t *list)
{
	const char *state = show_text(p->status, "state"), *name = p->name;
	json_int_t status = -1;

	json_unpack(p->status, "{s:I}", "last_status", &status);
	if (strcmp(state, "bound") == 0 || strcmp(state, "at home") == 0) {
		say(list, name, true, NULL, "%s, home agent %s, care-of address %s", state,
			show_text(p->status, "home_agent"), show_text(p->status, "care_of"));
		return;
	}
	if (strcmp(state, "revoked") == 0)
		say(list, name, false,
			"nemoctl ha allow NAME at the home agent, then nemoctl mr rehome",
			"an operator of the home agent revoked it");
	else if (strcmp(state, "looking for a home agent") == 0)
		say(list, name, false, "home_agents in nemo-mr.conf names them",
			"nobody answers the search for home agents");
	else if (status >= REFUSED)
		say(list, name, false, todo_of(status), "%s: the home agent %s says status %d, %s",
			state, show_text(p->status, "home_agent"), (int)status,
			show_text(p->status, "last_status_text"));
	else if (json_is_string(json_object_get(p->status, "care_of")))
		say(list, name, false, path_of(p->status),
			"%s: the home agent %s does not answer %s", state,
			show_text(p->status, "home_agent"), show_text(p->status, "care_of"));
	else
		say(list, name, false, NULL, "%s", state);
	look_at_uplinks(p->status, name, list);
	look_at_counters(p, list);
}

/* --- translator --- */

static void look_at_nat64(const struct peer *p, json_t *list)
{
	const json_t *awaited = json_object_get(p->status, "interfaces_awaited");
	char names[TEXT_SIZE];

	if (json_is_string(json_object_get(p->status, "reload_error")))
		say(list, NULL, false, "mend it, nemoctl nat64 reload",
			"the last reload failed: %s", show_text(p->status, "reload_error"));
	if (json_array_size(awaited)) {
		text_field(p->status, "interfaces_awaited", names);
		say(list, NULL, false, "are the names right? ip link",
			"interfaces that do not exist: %s", names);
	}
	if (json_is_string(json_object_get(p->status, "why_tun")))
		say(list, NULL, false, "it works, slowly; the reason is the kernel's",
			"engine tun: %s", show_text(p->status, "why_tun"));
	if (!json_array_size(list))
		say(list, NULL, true, NULL, "engine %s", show_text(p->status, "engine"));
}

/* --- all of them --- */

json_t *why_look(const struct peers *peers, const char *router, int *code)
{
	json_t *doc = json_array(), *list, *f;
	size_t n = 0, i;

	*code = 0;
	for (const struct peer *p = peers->v; p < peers->v + peers->n; p++) {
		list = json_array();
		if (strcmp(p->kind, PEER_HA) == 0)
			look_at_ha(p, router, list);
		else if (strcmp(p->kind, PEER_MR) == 0 && (!router || strcmp(router, p->name) == 0))
			look_at_mr(p, list);
		else if (strcmp(p->kind, PEER_NAT64) == 0 && !router)
			look_at_nat64(p, list);
		json_array_foreach (list, i, f) {
			n += !router || json_is_string(json_object_get(f, "router"));
			if (!json_is_true(json_object_get(f, "ok")))
				*code = EXIT_REFUSED;
		}
		json_array_append_new(doc, json_pack("{s:s, s:s, s:o}", "daemon", p->kind, "name",
						   p->name, "data", list));
	}
	if (router && n == 0) {
		fprintf(stderr,
			"nemoctl: no router is called \"%s\" here; nemoctl ha routers and "
			"nemoctl mr status list them\n",
			router);
		*code = EXIT_REFUSED;
	}
	return doc;
}

void why_print(const json_t *doc)
{
	const json_t *one, *f;
	size_t i, k;

	json_array_foreach ((json_t *)doc, i, one)
		json_array_foreach (json_object_get(one, "data"), k, f) {
			const char *router = json_string_value(json_object_get(f, "router"));
			const char *todo = json_string_value(json_object_get(f, "do"));
			bool other = router && strcmp(router, show_text(one, "name")) != 0;

			printf("%s%s%s: %s\n", show_text(one, "name"), other ? ": " : "",
				other ? router : "", show_text(f, "what"));
			if (todo)
				printf("    %s\n", todo);
		}
}
