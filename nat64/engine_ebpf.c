/* engine_ebpf.c - loads bpf/xlat.bpf.c, keeps its configuration and mappings, and puts it at the
 * ingress of the interfaces.  A filter that a crashed run left goes on translating as long as the
 * TUN device is kept (keep.h), and does nothing without it, since no route leads there any more.
 * The next run's is put in its place in one step, and counts on in the same counters. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "nat64/bpf/maps.h"
#include "nat64/engine.h"
#include "xlat.skel.h"

#define TC_HANDLE   1
#define TC_PRIORITY 140  /* after the tunnel's programs */
#define BATCH       4096 /* keys per system call */

struct nat64_bpf {
	struct xlat_bpf *skel;
	int n_cpus;
	uint32_t conf_nr; /* in use */
	unsigned n_links;
	struct link {
		char name[IFNAMSIZ];
		unsigned ifindex; /* where the program is; 0: there is no such interface */
	} links[];
};

/* --- configuration --- */

/* Both prefixes of mappings from..from + n - 1. */
static int table_fill(int fd, const struct nat64_eam *eams, __u32 n)
{
	struct nat64_key *keys = calloc(2 * n, sizeof(*keys));
	struct nat64_eam *values = calloc(2 * n, sizeof(*values));
	__u32 count = 2 * n;
	int rc = keys && values ? 0 : -ENOMEM;

	for (__u32 i = 0; i < n && !rc; i++) {
		const struct nat64_eam *eam = &eams[i];

		keys[2 * i] = (struct nat64_key){4, eam->v4.len, {{eam->v4.addr}}};
		keys[2 * i + 1] = (struct nat64_key){6, eam->v6.len, eam->v6.addr};
		values[2 * i] = values[2 * i + 1] = *eam;
	}
	if (!rc && bpf_map_update_batch(fd, keys, values, &count, NULL) < 0)
		rc = -errno;
	free(keys);
	free(values);
	return rc;
}

/* Descriptor of a new table, or -errno. */
static int table_make(const struct nat64 *n)
{
	__u32 size = n->n_eams ? 2 * (__u32)n->n_eams : 1;
	int rc = 0, fd = bpf_map_create(BPF_MAP_TYPE_HASH, "nat64_table", sizeof(struct nat64_key),
			    sizeof(struct nat64_eam), size, NULL);

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < n->n_eams && !rc; i += BATCH)
		rc = table_fill(
			fd, n->eams + i, (__u32)(n->n_eams - i < BATCH ? n->n_eams - i : BATCH));
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

/* Into a slot that no program looks at. */
static int slot_fill(struct nat64_bpf *b, uint32_t slot, const struct nat64 *n)
{
	int rc = 0, table = table_make(n);

	if (table < 0)
		return table;
	if (bpf_map_update_elem(bpf_map__fd(b->skel->maps.confs), &slot, &n->conf, BPF_ANY) < 0 ||
		bpf_map_update_elem(bpf_map__fd(b->skel->maps.tables), &slot, &table, BPF_ANY) < 0)
		rc = -errno;
	close(table); /* the slot holds it */
	return rc;
}

int nat64_bpf_swap(struct nat64_bpf *b, const struct nat64 *n)
{
	uint32_t old = NAT64_SLOT(b->conf_nr), new = b->conf_nr + 1;
	int rc = slot_fill(b, NAT64_SLOT(new), n);

	if (rc < 0)
		return rc;
	__atomic_store_n(&b->skel->bss->active, new, __ATOMIC_SEQ_CST);
	b->conf_nr = new;
	/* Returns when the programs that read the old number have ended. */
	bpf_map_delete_elem(bpf_map__fd(b->skel->maps.tables), &old);
	return 0;
}

void nat64_bpf_counters(const struct nat64_bpf *b, struct nat64_counters *add)
{
	__u64 *cpu = calloc((size_t)b->n_cpus, sizeof(*cpu));

	for (__u32 why = 0; cpu && why < NAT64_N_REASONS; why++) {
		if (bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.counters), &why, cpu) < 0)
			continue;
		for (int i = 0; i < b->n_cpus; i++)
			add->n[why] += cpu[i];
	}
	free(cpu);
}

int nat64_bpf_prog(const struct nat64_bpf *b)
{
	return bpf_program__fd(b->skel->progs.nat64_ingress);
}

/* --- interfaces --- */

static int attach(const struct nat64_bpf *b, struct link *link, unsigned ifindex, char *why)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		.prog_fd = nat64_bpf_prog(b), .flags = BPF_TC_F_REPLACE);
	int rc;

	if (!net_is_ethernet(link->name)) {
		snprintf(why, WHY_SIZE, "interface %s: not of Ethernet's kind", link->name);
		return -EOPNOTSUPP;
	}
	rc = bpf_tc_hook_create(&hook);
	if (rc >= 0 || rc == -EEXIST)
		rc = bpf_tc_attach(&hook, &opts);
	if (rc < 0) {
		snprintf(why, WHY_SIZE, "interface %s: tc: %s", link->name, strerror(-rc));
		return rc;
	}
	link->ifindex = ifindex;
	return 0;
}

static int attach_if_there(const struct nat64_bpf *b, struct link *link, char *why)
{
	unsigned ifindex = if_nametoindex(link->name);

	if (ifindex)
		return attach(b, link, ifindex, why);
	log_warn("interface %s is awaited: there is none of that name; what comes in there will go "
		 "through the TUN engine until there is",
		link->name);
	return 0;
}

void nat64_bpf_link(struct nat64_bpf *b, const struct net_link *l)
{
	char why[WHY_SIZE];

	for (unsigned i = 0; i < b->n_links; i++) {
		struct link *link = &b->links[i];

		if (l->gone && link->ifindex == l->ifindex)
			link->ifindex = 0;
		if (l->gone || link->ifindex == l->ifindex || strcmp(link->name, l->name) != 0)
			continue;
		if (attach(b, link, l->ifindex, why) < 0)
			log_warn("%s: what comes in there goes through the TUN engine", why);
		else
			log_info("interface %s is there", link->name);
	}
}

bool nat64_bpf_is_on(const struct nat64_bpf *b, const char *interface)
{
	for (unsigned i = 0; i < b->n_links; i++)
		if (strcmp(b->links[i].name, interface) == 0)
			return b->links[i].ifindex != 0;
	return false;
}

/* The program in our place at an interface's ingress; 0: none. */
static uint32_t attached(unsigned ifindex)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	return bpf_tc_query(&hook, &opts) < 0 ? 0 : opts.prog_id;
}

static void detach(unsigned ifindex)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	bpf_tc_detach(&hook, &opts);
}

void nat64_bpf_sweep(const struct nat64_bpf *b, int program)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	struct if_nameindex *all;

	if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &size) < 0)
		return;
	all = if_nameindex();
	for (const struct if_nameindex *i = all; i && i->if_index; i++)
		if (attached(i->if_index) == info.id && !(b && nat64_bpf_is_on(b, i->if_name)))
			detach(i->if_index);
	if_freenameindex(all);
}

/* --- open and close --- */

/* An earlier run's counters go on, if this version has the same ones. */
static int reuse_counters(struct bpf_map *map, int fd)
{
	struct bpf_map_info old = {0};
	uint32_t size = sizeof(old);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &old, &size) < 0 ||
		old.type != bpf_map__type(map) || old.value_size != bpf_map__value_size(map) ||
		old.max_entries != bpf_map__max_entries(map))
		return 0;
	return bpf_map__reuse_fd(map, fd);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap; /* errors come back as results */
	return 0;
}

static int load(
	struct nat64_bpf *b, const struct nat64 *n, unsigned tun_ifindex, int counters, char *why)
{
	int rc;

	libbpf_set_print(quiet);
	b->skel = xlat_bpf__open();
	if (!b->skel) {
		rc = -errno;
	} else {
		b->skel->rodata->tun_ifindex = tun_ifindex;
		rc = reuse_counters(b->skel->maps.counters, counters);
		if (rc == 0)
			rc = xlat_bpf__load(b->skel);
	}
	if (rc < 0) {
		snprintf(why, WHY_SIZE, "loading the BPF program: %s", strerror(-rc));
		return -EOPNOTSUPP;
	}
	b->n_cpus = libbpf_num_possible_cpus();
	rc = b->n_cpus < 0 ? b->n_cpus : slot_fill(b, NAT64_SLOT(b->conf_nr), n);
	if (rc < 0)
		snprintf(why, WHY_SIZE, "filling the BPF maps: %s", strerror(-rc));
	return rc;
}

int nat64_bpf_open(struct nat64_bpf **out, const struct nat64_engine_conf *conf,
	const struct nat64 *n, unsigned tun_ifindex, char *why)
{
	struct nat64_bpf *b = calloc(1, sizeof(*b) + conf->n_interfaces * sizeof(b->links[0]));
	int rc = b ? load(b, n, tun_ifindex, conf->kept ? conf->kept->counters : -1, why) : -ENOMEM;

	if (!b)
		snprintf(why, WHY_SIZE, "out of memory");
	for (unsigned i = 0; i < conf->n_interfaces && rc >= 0; i++) {
		struct link *link = &b->links[b->n_links++];

		memcpy(link->name, conf->interfaces[i], sizeof(link->name));
		rc = attach_if_there(b, link, why);
	}
	if (rc < 0) {
		nat64_bpf_close(b, false);
		return rc;
	}
	*out = b;
	return 0;
}

void nat64_bpf_keep(const struct nat64_bpf *b, struct nat64_kept *out)
{
	out->program = nat64_bpf_prog(b);
	out->counters = bpf_map__fd(b->skel->maps.counters);
}

void nat64_bpf_close(struct nat64_bpf *b, bool keep)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->n_links; i++) {
		if (b->links[i].ifindex && !keep)
			detach(b->links[i].ifindex);
	}
	xlat_bpf__destroy(b->skel);
	free(b);
}
