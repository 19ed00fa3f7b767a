/* wire - common/wire on standard input and output, for test_wire.py, which holds it against
 * decoders that were written elsewhere.
 *
 *   wire         reads a JSON object a line, {"kind": "mh" | "ndp" | "icmp6", ...}; writes the
 *                packet in hex
 *   wire decode  reads a packet in hex a line; writes {"kind": ..., "verdict": 0, ...}
 *
 * The members are those of struct mh_env, ndp_msg and icmp6_msg; those absent are zero.  Exits with
 * 1 on a line it can't read. */
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/wire/icmp6.h"
#include "common/wire/mh.h"
#include "common/wire/ndp.h"

enum field_type { U8, U16, U32, BOOL, ADDR, BYTES6, BYTES8 };

struct field { /* a table ends with a NULL name */
	const char *name;
	size_t off;
	enum field_type type;
};

#define F(s, name, member, type) \
	{ \
		name, offsetof(struct s, member), type \
	}
static const struct field env_fields[] = {F(mh_env, "src", src, ADDR), F(mh_env, "dst", dst, ADDR),
	F(mh_env, "hoa", hoa, ADDR), F(mh_env, "type", m.type, U8), {0}};
static const struct field opt_fields[] = {F(mh_opts, "refresh_s", refresh_s, U32),
	F(mh_opts, "alt_coa", alt_coa, ADDR), F(mh_opts, "has_nonce", has_nonce, BOOL),
	F(mh_opts, "home_nonce", home_nonce, U16), F(mh_opts, "careof_nonce", careof_nonce, U16),
	F(mh_opts, "auth_misplaced", auth_misplaced, BOOL), F(mh_opts, "mnp_bad", mnp_bad, BOOL),
	{0}};
static const struct field init_fields[] = {F(mh_msg, "cookie", test.cookie, BYTES8), {0}};
static const struct field test_fields[] = {F(mh_msg, "nonce", test.nonce, U16),
	F(mh_msg, "cookie", test.cookie, BYTES8), F(mh_msg, "token", test.token, BYTES8), {0}};
static const struct field bu_fields[] = {F(mh_msg, "seq", bu.seq, U16),
	F(mh_msg, "flags", bu.flags, U16), F(mh_msg, "lifetime_s", bu.lifetime_s, U32), {0}};
static const struct field ba_fields[] = {F(mh_msg, "status", ba.status, U8),
	F(mh_msg, "flags", ba.flags, U8), F(mh_msg, "seq", ba.seq, U16),
	F(mh_msg, "lifetime_s", ba.lifetime_s, U32), {0}};
static const struct field be_fields[] = {
	F(mh_msg, "status", be.status, U8), F(mh_msg, "be_hoa", be.hoa, ADDR), {0}};
static const struct field hb_fields[] = {F(mh_msg, "response", hb.response, BOOL),
	F(mh_msg, "unsolicited", hb.unsolicited, BOOL), F(mh_msg, "hb_seq", hb.seq, U32),
	F(mh_msg, "has_restart", o.has_restart, BOOL), F(mh_msg, "restart", o.restart, U32), {0}};
static const struct field br_fields[] = {F(mh_msg, "br_type", br.type, U8),
	F(mh_msg, "code", br.code, U8), F(mh_msg, "seq", br.seq, U16),
	F(mh_msg, "flags", br.flags, U16), {0}};
static const struct field rh2_fields[] = {F(mh_env, "rh2", rh2, BOOL), {0}};
static const struct field no_fields[] = {{0}};
static const struct field *const mh_fields[] = {[MH_BRR] = no_fields,
	[MH_HOTI] = init_fields,
	[MH_COTI] = init_fields,
	[MH_HOT] = test_fields,
	[MH_COT] = test_fields,
	[MH_BU] = bu_fields,
	[MH_BA] = ba_fields,
	[MH_BE] = be_fields,
	[MH_HAS] = no_fields, /* its list is apart */
	[MH_HB] = hb_fields,
	[MH_BR] = br_fields};
#define N_TYPES (sizeof(mh_fields) / sizeof(mh_fields[0]))

static const struct field ndp_fields[] = {F(ndp_msg, "type", type, U8),
	F(ndp_msg, "src", src, ADDR), F(ndp_msg, "dst", dst, ADDR),
	F(ndp_msg, "target", target, ADDR), F(ndp_msg, "has_lladdr", has_lladdr, BOOL),
	F(ndp_msg, "lladdr", lladdr, BYTES6), {0}};
static const struct field na_fields[] = {F(ndp_msg, "router", na.router, BOOL),
	F(ndp_msg, "solicited", na.solicited, BOOL), F(ndp_msg, "override", na.override, BOOL),
	{0}};
static const struct field ra_fields[] = {F(ndp_ra, "cur_hop_limit", cur_hop_limit, U8),
	F(ndp_ra, "managed", managed, BOOL), F(ndp_ra, "other", other, BOOL),
	F(ndp_ra, "home_agent", home_agent, BOOL), F(ndp_ra, "lifetime_s", lifetime_s, U16),
	F(ndp_ra, "reachable_ms", reachable_ms, U32), F(ndp_ra, "retrans_ms", retrans_ms, U32),
	F(ndp_ra, "mtu", mtu, U32), F(ndp_ra, "interval_ms", interval_ms, U32),
	F(ndp_ra, "has_ha_info", has_ha_info, BOOL), F(ndp_ra, "ha_nemo", ha_nemo, BOOL),
	F(ndp_ra, "ha_preference", ha_preference, U16),
	F(ndp_ra, "ha_lifetime_s", ha_lifetime_s, U16), {0}};
static const struct field prefix_fields[] = {F(ndp_prefix, "prefix", prefix.addr, ADDR),
	F(ndp_prefix, "len", prefix.len, U8), F(ndp_prefix, "addr", addr, ADDR),
	F(ndp_prefix, "on_link", on_link, BOOL), F(ndp_prefix, "autonomous", autonomous, BOOL),
	F(ndp_prefix, "router_addr", router_addr, BOOL), F(ndp_prefix, "valid_s", valid_s, U32),
	F(ndp_prefix, "preferred_s", preferred_s, U32), {0}};
static const struct field icmp6_fields[] = {F(icmp6_msg, "type", type, U8),
	F(icmp6_msg, "src", src, ADDR), F(icmp6_msg, "dst", dst, ADDR),
	F(icmp6_msg, "hoa", hoa, ADDR), F(icmp6_msg, "id", id, U16),
	F(icmp6_msg, "mobile_router", mobile_router, BOOL), F(icmp6_msg, "managed", managed, BOOL),
	F(icmp6_msg, "other", other, BOOL), {0}};
#undef F

static size_t unhex(const char *s, uint8_t *out, size_t size)
{
	size_t n = 0;

	for (; isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]); s += 2) {
		if (n == size)
			errx(1, "too many octets");
		out[n++] = (uint8_t)strtoul((char[]){s[0], s[1], '\0'}, NULL, 16);
	}
	if (*s && *s != '\n')
		errx(1, "not hexadecimal: %s", s);
	return n;
}

static json_t *hex(const uint8_t *p, size_t n)
{
	char text[2 * MH_MAX_AUTH + 1] = "";

	for (size_t i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", p[i]);
	return json_string(text);
}

static void get_field(const json_t *v, const struct field *f, uint8_t *p)
{
	uint64_t n = (uint64_t)json_integer_value(v);
	const char *s = json_string_value(v);

	switch (f->type) {
	case U8: *p = (uint8_t)n; break;
	case U16: memcpy(p, &(uint16_t){(uint16_t)n}, 2); break;
	case U32: memcpy(p, &(uint32_t){(uint32_t)n}, 4); break;
	case BOOL: *(bool *)p = json_is_true(v); break;
	case ADDR:
		if (!s || inet_pton(AF_INET6, s, p) != 1)
			errx(1, "%s: no address", f->name);
		break;
	case BYTES6:
	case BYTES8:
		if (!s || unhex(s, p, 8) != (f->type == BYTES6 ? 6 : 8))
			errx(1, "%s: wrong size", f->name);
		break;
	}
}

static void get(const json_t *o, const struct field *f, void *base)
{
	for (; f->name; f++) {
		const json_t *v = json_object_get(o, f->name);

		if (v)
			get_field(v, f, (uint8_t *)base + f->off);
	}
}

static json_t *put_field(const struct field *f, const uint8_t *p)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;
	uint16_t u16;
	uint32_t u32;

	switch (f->type) {
	case U8: return json_integer(*p);
	case U16: memcpy(&u16, p, 2); return json_integer(u16);
	case U32: memcpy(&u32, p, 4); return json_integer(u32);
	case BOOL: return json_boolean(*(const bool *)p);
	case ADDR: memcpy(&a, p, sizeof(a)); return json_string(addr6_str(&a, text));
	case BYTES6: return hex(p, 6);
	case BYTES8: return hex(p, 8);
	}
	return NULL;
}

static void put(json_t *o, const struct field *f, const void *base)
{
	for (; f->name; f++)
		json_object_set_new(o, f->name, put_field(f, (const uint8_t *)base + f->off));
}

/* --- packets --- */

static int encode_mh(const json_t *o, uint8_t *buf, size_t size)
{
	const char *auth = json_string_value(json_object_get(o, "auth"));
	struct mh_env e = {0};
	json_t *mnp, *ha;
	size_t i;

	get(o, env_fields, &e);
	if (e.m.type >= N_TYPES || !mh_fields[e.m.type])
		errx(1, "type %u", e.m.type);
	get(o, rh2_fields, &e);
	get(o, mh_fields[e.m.type], &e.m);
	get(o, opt_fields, &e.m.o);
	e.m.o.auth_size = auth ? (uint8_t)unhex(auth, e.m.o.auth, MH_MAX_AUTH) : 0;
	json_array_foreach (json_object_get(o, "mnp"), i, mnp) {
		if (i == MH_MAX_MNP || prefix6_parse(json_string_value(mnp), &e.m.o.mnp[i]) < 0)
			errx(1, "mnp: %s", json_string_value(mnp));
		e.m.o.n_mnp++;
	}
	json_array_foreach (json_object_get(o, "home_agents"), i, ha) {
		if (i == MH_MAX_HAS ||
			inet_pton(AF_INET6, json_string_value(ha), &e.m.has.ha[i]) != 1)
			errx(1, "home_agents: %s", json_string_value(ha));
		e.m.has.n++;
	}
	return mh_encode_packet(&e, buf, size);
}

static int encode_ndp(const json_t *o, uint8_t *buf, size_t size)
{
	struct ndp_msg m = {0};
	json_t *prefix;
	size_t i;

	get(o, ndp_fields, &m);
	if (m.type < NDP_RS || m.type > NDP_NA)
		errx(1, "type %u", m.type);
	if (m.type == NDP_NA)
		get(o, na_fields, &m);
	if (m.type != NDP_RA)
		return ndp_encode(&m, buf, size);
	get(o, ra_fields, &m.ra);
	json_array_foreach (json_object_get(o, "prefixes"), i, prefix) {
		if (i == NDP_MAX_PREFIX)
			errx(1, "too many prefixes");
		get(prefix, prefix_fields, &m.ra.prefix[m.ra.n_prefix++]);
	}
	return ndp_encode(&m, buf, size);
}

static int encode_icmp6(const json_t *o, uint8_t *buf, size_t size)
{
	struct icmp6_msg m = {0};
	json_t *v;
	size_t i;

	get(o, icmp6_fields, &m);
	if (m.type < ICMP6_DHAAD_REQUEST || m.type > ICMP6_MPA)
		errx(1, "type %u", m.type);
	json_array_foreach (json_object_get(o, "ha"), i, v) {
		if (i == ICMP6_MAX_HA ||
			inet_pton(AF_INET6, json_string_value(v), &m.ha[m.n_ha++]) != 1)
			errx(1, "ha: %s", json_string_value(v));
	}
	json_array_foreach (json_object_get(o, "prefixes"), i, v) {
		if (i == NDP_MAX_PREFIX)
			errx(1, "too many prefixes");
		get(v, prefix_fields, &m.prefix[m.n_prefix++]);
	}
	return icmp6_encode(&m, buf, size);
}

static void encode_line(const char *line)
{
	json_error_t error;
	json_t *o = json_loads(line, 0, &error);
	const char *kind = json_string_value(json_object_get(o, "kind"));
	uint8_t buf[IP6_SIG_MAX];
	int n;

	if (!kind)
		errx(1, "%s: %s", error.text, line);
	if (strcmp(kind, "ndp") == 0)
		n = encode_ndp(o, buf, sizeof(buf));
	else if (strcmp(kind, "icmp6") == 0)
		n = encode_icmp6(o, buf, sizeof(buf));
	else
		n = encode_mh(o, buf, sizeof(buf));
	for (int i = 0; i < n; i++)
		printf("%02x", buf[i]);
	putchar('\n');
	json_decref(o);
}

static void put_home_agents(json_t *o, const struct mh_has *has)
{
	json_t *list = json_array();
	char text[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < has->n; i++)
		json_array_append_new(list, json_string(addr6_str(&has->ha[i], text)));
	json_object_set_new(o, "home_agents", list);
}

static json_t *decode_mh(const uint8_t *pkt, size_t size)
{
	json_t *o = json_pack("{s:s}", "kind", "mh"), *mnp;
	struct mh_env e = {0};
	enum ip6_verdict chain;
	unsigned i, where;
	enum mh_verdict v = mh_decode_packet(pkt, size, &e, &chain, &where);

	json_object_set_new(o, "verdict", json_integer(v));
	json_object_set_new(o, "chain", json_integer(chain));
	if (v != MH_OK)
		return o;
	put(o, env_fields, &e);
	put(o, mh_fields[e.m.type], &e.m);
	put(o, opt_fields, &e.m.o);
	json_object_set_new(o, "auth", hex(e.m.o.auth, e.m.o.auth_size));
	mnp = json_array();
	for (i = 0; i < e.m.o.n_mnp; i++) {
		char text[PREFIX6_STRLEN];

		json_array_append_new(mnp, json_string(prefix6_str(&e.m.o.mnp[i], text)));
	}
	json_object_set_new(o, "mnp", mnp);
	if (e.m.type > MH_BE)
		put(o, rh2_fields, &e);
	if (e.m.type == MH_HAS)
		put_home_agents(o, &e.m.has);
	return o;
}

static json_t *prefixes_of(const struct ndp_prefix *v, unsigned n)
{
	json_t *prefixes = json_array();

	for (unsigned i = 0; i < n; i++) {
		json_t *p = json_object();

		put(p, prefix_fields, &v[i]);
		json_array_append_new(prefixes, p);
	}
	return prefixes;
}

static json_t *decode_ndp(enum ndp_verdict v, const struct ndp_msg *m)
{
	json_t *o = json_pack("{s:s, s:i}", "kind", "ndp", "verdict", (int)v);

	if (v != NDP_OK)
		return o;
	put(o, ndp_fields, m);
	if (m->type == NDP_NA)
		put(o, na_fields, m);
	if (m->type != NDP_RA)
		return o;
	put(o, ra_fields, &m->ra);
	json_object_set_new(o, "prefixes", prefixes_of(m->ra.prefix, m->ra.n_prefix));
	return o;
}

static json_t *decode_icmp6(enum icmp6_verdict v, const struct icmp6_msg *m)
{
	json_t *o = json_pack("{s:s, s:i}", "kind", "icmp6", "verdict", (int)v), *list;
	char text[INET6_ADDRSTRLEN];

	if (v != ICMP6_OK)
		return o;
	put(o, icmp6_fields, m);
	list = json_array();
	for (unsigned i = 0; i < m->n_ha; i++)
		json_array_append_new(list, json_string(addr6_str(&m->ha[i], text)));
	json_object_set_new(o, "ha", list);
	json_object_set_new(o, "prefixes", prefixes_of(m->prefix, m->n_prefix));
	return o;
}

static void decode_line(const char *line)
{
	uint8_t buf[IP6_SIG_MAX];
	size_t n = unhex(line, buf, sizeof(buf));
	struct icmp6_msg im;
	struct ndp_msg m;
	enum icmp6_verdict iv = icmp6_decode(buf, n, &im);
	enum ndp_verdict v = ndp_decode(buf, n, &m);
	json_t *o;

	if (iv != ICMP6_IGNORE)
		o = decode_icmp6(iv, &im);
	else
		o = v == NDP_IGNORE ? decode_mh(buf, n) : decode_ndp(v, &m);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

int main(int argc, char **argv)
{
	bool decode = argc == 2 && strcmp(argv[1], "decode") == 0;
	char *line = NULL;
	size_t size = 0;

	if (argc > 1 && !decode)
		errx(2, "usage: wire [decode]");
	while (getline(&line, &size, stdin) > 0)
		(decode ? decode_line : encode_line)(line);
	free(line);
	return 0;
}
