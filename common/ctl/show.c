/* show.c - what the daemons answer, for people. */
#include "common/ctl/show.h"
#include <stdio.h>
#include <string.h>
#include "common/ctl/text.h"

#define UPLINK_KEYS "interface preference state care_of router router_mac known_links"

const char *show_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

void show_table(const struct command *c, const json_t *doc, bool many)
{
	json_t *rows = json_array();
	char keys[256];
	const json_t *one;
	json_t *row;
	size_t i, j;

	json_array_foreach ((json_t *)doc, i, one) {
		json_t *data = json_object_get(one, "data");

		if (json_is_object(data)) /* statistics: the list is a member */
			data = json_object_get(data, "counters");
		json_array_foreach (data, j, row) {
			json_object_set(row, "daemon", json_object_get(one, "name"));
			json_array_append(rows, row);
		}
	}
	snprintf(keys, sizeof(keys), "%s%s", many ? "daemon " : "", c->keys);
	text_table(keys, rows, "");
	json_decref(rows);
}

void show_summary(const struct command *c, const json_t *doc, bool many)
{
	json_t *rows = json_array();
	const json_t *one;
	size_t i;

	(void)many;
	json_array_foreach ((json_t *)doc, i, one) {
		json_t *row = json_object_get(one, "data");
		json_int_t bound = 0, routers = 0, mappings = 0;

		if (json_unpack(row, "{s:I}", "mappings", &mappings) == 0)
			json_object_set_new(row, "state",
				json_sprintf("%d mappings, %zu prefixes", (int)mappings,
					json_array_size(json_object_get(row, "prefixes"))));
		else if (json_unpack(row, "{s:I, s:I}", "bindings", &bound, "routers", &routers) ==
			 0)
			json_object_set_new(row, "state",
				json_sprintf("%d of %d routers bound%s", (int)bound, (int)routers,
					json_is_true(json_object_get(row, "draining"))
						? ", draining"
						: ""));
		else
			json_object_set(row, "address", json_object_get(row, "home_address"));
		json_array_append(rows, row);
	}
	text_table(c->keys, rows, "");
	json_decref(rows);
}

void show_record(const struct command *c, const json_t *doc, bool many)
{
	const json_t *one;
	size_t i;

	(void)many;
	json_array_foreach ((json_t *)doc, i, one) {
		if (i)
			putchar('\n');
		text_record(c->keys, json_object_get(one, "data"));
	}
}

void show_mr(const struct command *c, const json_t *doc, bool many)
{
	const json_t *one;
	size_t i;

	(void)many;
	json_array_foreach ((json_t *)doc, i, one) {
		json_t *status = json_object_get(one, "data");
		json_t *last = json_object_get(status, "last_handover"),
		       *rows = json_pack("[O]", last);

		if (i)
			putchar('\n');
		text_record(c->keys, status);
		printf("\nuplinks\n");
		text_table(UPLINK_KEYS, json_object_get(status, "uplinks"), "  ");
		if (json_is_object(last)) {
			printf("\nlast handover (phases in ms after the hint)\n");
			text_table(HANDOVER_KEYS, rows, "  ");
		}
		json_decref(rows);
	}
}

/* Prints what was done: the command's sentence, with the daemon's values for {key}. */
void show_act(const struct command *c, const json_t *doc, bool many)
{
	const json_t *one = json_array_get(doc, 0), *data = json_object_get(one, "data");
	const char *p = c->did;
	char key[TEXT_KEY_SIZE], value[TEXT_SIZE];

	(void)many;
	printf("%s: ", show_text(one, "name"));
	for (; *p; p++) {
		if (sscanf(p, "{%31[^}]}", key) == 1) {
			text_field(data, key, value);
			fputs(value, stdout);
			p = strchr(p, '}');
		} else {
			putchar(*p);
		}
	}
	putchar('\n');
}

void show_explain(const struct command *c, const json_t *doc, bool many)
{
	const json_t *one;
	size_t i;

	(void)c;
	json_array_foreach ((json_t *)doc, i, one) {
		if (many)
			printf("%s: ", show_text(one, "name"));
		puts(show_text(json_object_get(one, "data"), "text"));
	}
}
